/** Rules of regions that fail and start again alone taken out. */

import { assign } from "xstate";
import type { JobRecord } from "../../../machines/protocol.ts";
import { changeRecord, type RecordChange } from "../../../machines/record.ts";
import { DELETED_TOO_EARLY } from "../protocol/holds/objects.ts";
import { theProtocol } from "../protocol/variant.ts";
import { deaf } from "./machines.ts";
import { type SeededBug, seeded } from "./seeded.ts";

const { job } = theProtocol;

/** Its region goes on in any case. */
function decideForTheLiving(record: JobRecord, wanted: RecordChange) {
  if (wanted.change !== "decision" || !record.generations.includes(wanted.checkpoint.generation))
    return changeRecord(record, wanted);
  const { generation } = record;
  const decided = changeRecord(record, { ...wanted, checkpoint: { ...wanted.checkpoint, generation } });
  return "refused" in decided
    ? decided
    : { record: { ...decided.record, checkpoints: [...record.checkpoints, wanted.checkpoint].slice(-1) } };
}

const unheardWhileDown = ["failing", "backingOff", "recovering", "waiting", "deploying"].reduce(
  (machine, state) => deaf(machine, [state], "subtask.committed"),
  job,
);

const drainedGoOn = job.provide({
  actions: {
    takeAllDown: assign((({ context, event }: { context: Generations; event: Partial<Generations> }) => {
      const hit = event.generations ?? [];
      return { down: hit.map((one) => context.generations.indexOf(one)) };
    }) as never),
  },
} as never);

interface Generations {
  readonly generations: readonly number[];
}

const REGIONS = {
  subtasks: { s: ["X"], t: ["Z"] },
  regions: [["s"], ["t"]],
  records: 1,
  losses: 1,
} as const;

export const regionBugs: readonly SeededBug[] = [
  seeded({
    name: "decided-behind-a-region",
    rule: "RC1, J6",
    what: "A checkpoint is decided although one of its regions has been restored from an older one meanwhile.",
    alters: { changeRecord: decideForTheLiving },
    bounds: REGIONS,
    foundBy: "P20 nothing goes back behind a decision",
  }),
  seeded({
    name: "commits-unheard-while-a-region-is-down",
    rule: "J6, P18",
    what: "What the regions that go on commit is not heard while another one is down.",
    alters: { job: unheardWhileDown },
    bounds: { ...REGIONS, cancels: 1, triggers: 1, reportsOnce: true, goal: "ended" },
    foundBy: "goal",
  }),
  seeded({
    name: "drained-region-goes-on",
    rule: "J6, P19",
    what: "A region fails while the job drains, and the others, whose sources have ended, go on.",
    alters: { job: drainedGoOn },
    bounds: { ...REGIONS, requests: ["drain"], bounded: true, triggers: 0, periodic: false },
    foundBy: "P19 a finished job has read its input",
  }),
  seeded({
    name: "sweep-takes-the-living",
    rule: "P21, OR2",
    what: "A sweep takes what a region that goes on has staged and not yet had decided.",
    alters: { faults: { sweepsTheLiving: true } },
    bounds: { ...REGIONS, objects: true, expiries: 1 },
    foundBy: DELETED_TOO_EARLY,
  }),
];
