/** The snapshots of one subtask that are not acknowledged yet, oldest first: what each of them still waits for (S2, S7). */
import type { BarrierAlignment } from "./protocol.ts";

/**
 * Waiting: for the cut, until the older ones are encoded. Encoding: the state is cut and is being read. Storing: all of it is
 * encoded and on its way to the storage.
 */
export type SnapshotStage = "waiting" | "encoding" | "storing" | "stored";

export interface OpenSnapshot {
  readonly checkpointId: number;
  readonly wasCut: boolean;
  readonly stage: SnapshotStage;
  /** The records that its barrier has overtaken, and those on their way back in a loop, are durable, or there are none. */
  readonly channelsStored: boolean;
  /** `finish` had run before the barrier. */
  readonly finished: boolean;
}

interface Holder {
  readonly snapshots: readonly OpenSnapshot[];
  readonly pending: readonly { readonly checkpointId: number; readonly prepared: boolean }[];
}
type Snapshots = Pick<Holder, "snapshots">;

interface Barrier {
  readonly checkpointId: number;
  readonly alignment: BarrierAlignment;
  readonly feedback?: true;
}

export function beginSnapshot(
  { checkpointId, alignment, feedback }: Barrier,
  stage: SnapshotStage,
  finished: boolean,
): OpenSnapshot {
  const channelsStored = alignment !== "unaligned" && feedback === undefined;
  return { checkpointId, wasCut: false, stage, channelsStored, finished };
}

export function isOpen({ snapshots }: Snapshots, event: object): boolean {
  return "checkpointId" in event && snapshots.some((one) => one.checkpointId === event.checkpointId);
}

export function markSnapshot(
  { snapshots }: Snapshots,
  event: object,
  mark: Partial<OpenSnapshot>,
): readonly OpenSnapshot[] {
  return snapshots.map((one) =>
    "checkpointId" in event && one.checkpointId === event.checkpointId ? { ...one, ...mark } : one,
  );
}

/** A keyed state is read at one cut at a time. */
export function isReadingState({ snapshots }: Snapshots): boolean {
  return snapshots.some(({ stage }) => stage === "waiting" || stage === "encoding");
}

/** The oldest that waits for its cut, once no other one is being encoded. */
export function cutDue({ snapshots }: Snapshots): OpenSnapshot | undefined {
  if (snapshots.some(({ stage }) => stage === "encoding")) return undefined;
  return snapshots.find(({ stage }) => stage === "waiting");
}

export function isWaiting({ snapshots }: Snapshots, checkpointId: number): boolean {
  return snapshots.some((one) => one.checkpointId === checkpointId && one.stage === "waiting");
}

/** The oldest that waits for nothing any more. Transactions of younger barriers are none of its concern. */
export function acknowledgeable({ snapshots, pending }: Holder): OpenSnapshot | undefined {
  return snapshots.find(
    ({ checkpointId, wasCut, stage, channelsStored }) =>
      wasCut &&
      stage === "stored" &&
      channelsStored &&
      pending.every((transaction) => transaction.prepared || transaction.checkpointId > checkpointId),
  );
}
