/** The snapshots of one subtask that are not acknowledged yet, oldest first: what each of them still waits for (S2). */
import type { CheckpointOptions } from "../protocol.ts";

/** Storing: the state is cut, and all of it is on its way to the storage. */
export type SnapshotStage = "storing" | "stored";

export interface OpenSnapshot {
  readonly checkpointId: number;
  readonly stage: SnapshotStage;
  /**
   * The records that its barrier has overtaken, and those on their way back in a loop, are durable, or there are none.
   */
  readonly channelsStored: boolean;
  /** Whether `finish` had run before the barrier. */
  readonly finished: boolean;
}

interface Holder {
  readonly snapshots: readonly OpenSnapshot[];
  readonly pending: readonly { readonly checkpointId: number; readonly prepared: boolean }[];
}
type Snapshots = Pick<Holder, "snapshots">;

interface Barrier {
  readonly checkpointId: number;
  readonly options: CheckpointOptions;
  readonly feedback?: true;
}

export function beginSnapshot(
  { checkpointId, options, feedback }: Barrier,
  { finished, source }: { readonly finished: boolean; readonly source: boolean },
): OpenSnapshot {
  // A source has no channels: what its barrier overtakes lies behind it.
  const channelsStored = source || (options.alignment !== "unaligned" && feedback === undefined);
  return { checkpointId, stage: "storing", channelsStored, finished };
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

/** The oldest snapshot that waits for nothing any more; it does not wait for transactions of younger barriers. */
export function acknowledgeable({ snapshots, pending }: Holder): OpenSnapshot | undefined {
  return snapshots.find(
    ({ checkpointId, stage, channelsStored }) =>
      stage === "stored" &&
      channelsStored &&
      pending.every((transaction) => transaction.prepared || transaction.checkpointId > checkpointId),
  );
}
