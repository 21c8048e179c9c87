/** Rules of rescales taken out (P95). */
import { isPending } from "../../../machines/leader/rescale.ts";
import type { JobRecord } from "../../../machines/protocol.ts";
import { changeRecord, latestCheckpoint, type RecordChange } from "../../../machines/record.ts";
import type { Bounds } from "../protocol/bounds.ts";
import { DECIDED_ONCE } from "../protocol/holds/rescaling.ts";
import { type SeededBug, seeded } from "./seeded.ts";

/** Neither the rescale nor the way back. */
function raiseNothing(record: JobRecord, wanted: RecordChange) {
  const changed = changeRecord(record, wanted);
  if ("refused" in changed || (wanted.change !== "rescale" && wanted.change !== "rescale-undone"))
    return changed;
  const { generation, generations } = record;
  return { record: { ...changed.record, generation, generations } };
}

function neverDone(record: JobRecord, wanted: RecordChange) {
  const changed = changeRecord(record, wanted);
  if ("refused" in changed || !isPending(record) || wanted.change === "rescale-undone") return changed;
  return { record: { ...changed.record, rescale: record.rescale! } };
}

/** It is written over the checkpoint that was found to fit, whatever was decided since. */
function overAnother(record: JobRecord, wanted: RecordChange) {
  if (wanted.change !== "rescale") return changeRecord(record, wanted);
  const completed = latestCheckpoint(record)?.checkpointId ?? 0;
  const changed = changeRecord(record, { ...wanted, completed });
  if ("refused" in changed) return changed;
  const formerPlans = changed.record.formerPlans.map((one) => ({ ...one, upTo: wanted.completed }));
  return { record: { ...changed.record, formerPlans } };
}

const MOVED: Partial<Bounds> = {
  subtasks: { s: ["X"] },
  rescaled: { subtasks: { t: ["Y"] }, heirs: { t: "s" } },
  rescales: 1,
  records: 1,
  triggers: 2,
};
const EXACTLY_ONCE = "C3 exactly once, in order";

export const rescaleBugs: readonly SeededBug[] = [
  seeded({
    name: "rescale-decided-twice",
    rule: "P95, RZ5",
    what: "A rescale has failed, and is carried out when its client asks again.",
    alters: { faults: { rescalesAgain: true } },
    bounds: { ...MOVED, rescales: 2, triggers: 1, losses: 1 },
    foundBy: DECIDED_ONCE,
  }),
  seeded({
    name: "rescale-raises-nothing",
    rule: "RZ1",
    what: "The record has the new plan, and the generation of the former one goes on.",
    alters: { changeRecord: raiseNothing },
    bounds: { ...MOVED, triggers: 3, losses: 1 },
    foundBy: EXACTLY_ONCE,
  }),
  seeded({
    name: "led-on-under-the-former-plan",
    rule: "P95",
    what: "The record has the new plan, and its leader goes on with the former one: nothing is decided any more.",
    alters: { faults: { staysWithItsPlan: true } },
    bounds: { ...MOVED, goal: "quiet" },
    foundBy: "goal",
  }),
  seeded({
    name: "rescaled-over-another-checkpoint",
    rule: "RZ1",
    what: "A checkpoint that was decided beside the rescale counts as one of the new plan.",
    alters: { changeRecord: overAnother },
    bounds: { ...MOVED, records: 2, triggers: 3 },
    foundBy: EXACTLY_ONCE,
  }),
  seeded({
    name: "gone-back-behind-its-own-checkpoint",
    rule: "RZ2",
    what: "The job goes back to the former plan although a checkpoint of the new one is decided.",
    alters: { changeRecord: neverDone },
    bounds: { ...MOVED, triggers: 3, losses: 1, retained: 2 },
    foundBy: EXACTLY_ONCE,
  }),
  seeded({
    name: "former-plan-forgotten",
    rule: "RZ3, P93",
    what: "What was stored under the former plan is restored as if it were of the new one.",
    alters: { faults: { forgetsFormerPlans: true } },
    bounds: MOVED,
    foundBy: EXACTLY_ONCE,
  }),
];
