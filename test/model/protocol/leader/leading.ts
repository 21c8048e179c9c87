/** How a coordinator begins to lead a job, from its record; anew when the record has another plan (P95). */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { ActorSpec } from "../../composition.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import { MEMORY, memoryMachine } from "../memory.ts";
import { nameOfPlan, regionsIn } from "../plans.ts";
import type { Memory } from "./coordinator-memory.ts";
import { noFailures } from "./failure-streak.ts";
import type { LeaderHost } from "./leader-host.ts";
import { WRITER, type WriterContext, writerMachine } from "./records/record-writer.ts";

/** The record as it was read, and how many writes this process has begun before. */
interface Known {
  readonly record: JobRecord;
  readonly revision: number;
  readonly writes: number;
}

const NOTHING: Memory = {
  live: [],
  raised: [],
  placement: {},
  pending: {},
  outlived: {},
  savepoints: {},
  streak: noFailures,
  deferred: {},
  due: [],
  deletable: [],
  bases: {},
  givenUp: {},
  planned: null,
};

export function leadersActors(
  { id, token, bounds, variant }: Pick<LeaderHost, "id" | "token" | "bounds" | "variant">,
  known: Known,
): Readonly<Record<string, ActorSpec>> {
  const regions = regionsIn(bounds, nameOfPlan(known.record.plan));
  return {
    [MEMORY]: { machine: memoryMachine, input: NOTHING },
    [WRITER]: { machine: writerMachine(variant.changeRecord), input: { from: id, token, ...known } },
    job: { machine: variant.job, input: { regions, deployTimeoutMs: 1, settleRetryMs: 1 } },
  };
}

/**
 * As a new leader would, except that this one need not wait for the old one to go. Only the write that the old writer
 * begins next may still be under way.
 */
export function leadAnew(host: LeaderHost): ProcessOutcome[] {
  const { record, revision, writes } = host.state.actors.get(WRITER)!.snapshot.context as WriterContext;
  const begun = Object.entries(leadersActors(host, { record, revision, writes }));
  return [
    ...[...host.state.actors.keys()].map((actor) => ({ kind: "remove", actor }) as const),
    ...begun.map(([actor, spec]) => ({ kind: "create", actor, ...spec, stays: true }) as const),
  ];
}
