/** The snapshots of one subtask that are not acknowledged yet, oldest first: what each of them still waits for (S2). */
import type { BarrierAlignment } from "./protocol.ts";

export interface OpenSnapshot {
  readonly checkpointId: number;
  readonly wasCut: boolean;
  readonly stored: boolean;
  /** The records that its barrier has overtaken, and those on their way back in a loop, are durable, or there are none. */
  readonly channelsStored: boolean;
  /** `finish` had run before the barrier. */
  readonly finished: boolean;
}

interface Holder {
  readonly snapshots: readonly OpenSnapshot[];
  readonly pending: readonly { readonly checkpointId: number; readonly prepared: boolean }[];
}

interface Barrier {
  readonly checkpointId: number;
  readonly alignment: BarrierAlignment;
  readonly feedback?: true;
}

export function beginSnapshot(
  { checkpointId, alignment, feedback }: Barrier,
  finished: boolean,
): OpenSnapshot {
  const channelsStored = alignment !== "unaligned" && feedback === undefined;
  return { checkpointId, wasCut: false, stored: false, channelsStored, finished };
}

export function isOpen({ snapshots }: Pick<Holder, "snapshots">, event: object): boolean {
  return "checkpointId" in event && snapshots.some((one) => one.checkpointId === event.checkpointId);
}

export function markSnapshot(
  { snapshots }: Pick<Holder, "snapshots">,
  event: object,
  mark: Partial<OpenSnapshot>,
): readonly OpenSnapshot[] {
  return snapshots.map((one) =>
    "checkpointId" in event && one.checkpointId === event.checkpointId ? { ...one, ...mark } : one,
  );
}

/** The oldest that waits for nothing any more. Transactions of younger barriers are none of its concern. */
export function acknowledgeable({ snapshots, pending }: Holder): OpenSnapshot | undefined {
  return snapshots.find(
    ({ checkpointId, wasCut, stored, channelsStored }) =>
      wasCut &&
      stored &&
      channelsStored &&
      pending.every((transaction) => transaction.prepared || transaction.checkpointId > checkpointId),
  );
}
