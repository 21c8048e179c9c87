/**
 * The records that the barriers of unaligned checkpoints overtake at one subtask, and those on their way back where a
 * loop begins: collected, stored, put back.
 *
 * Owns: what was collected for which checkpoint, and its way to the storage. Does not own: where collecting begins and
 * ends (machines/worker/alignment.ts), the frames, which are processed as if they had not been looked at (CN5).
 *
 * CS1  Per channel: what was taken and not processed, restored records, frames that wait, frames that come: their
 *      order.
 * CS2  Bounded by the windows of the channels, by `waitingMax` where a loop begins; twice while it is encoded.
 * CS3  Below the inline threshold it becomes no object (D9); above it the channels share objects.
 */

import type { ChannelStateHandle, ObjectHandle } from "../../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { type Clock, nextTurn } from "../../../clock.ts";
import {
  type ChannelId,
  describeChannel,
  type InFlightRecords,
  type RecordsFrame,
} from "../../../dataflow/channel/frame.ts";
import { FrameEncoder } from "../../../dataflow/channel/remote/frame-codec.ts";
import { type Receiver, recordsFor } from "../../../dataflow/channel/rescaled-records.ts";
import { countRecords, decodeStored, encodeStored } from "../../../dataflow/channel/stored-records.ts";
import type { InputGate } from "../../../dataflow/input-gate.ts";
import { invariant, ObjectCorruptError } from "../../../errors.ts";
import { newLife } from "../../life.ts";
import type { GateInput } from "../subtask/input/gate.ts";
import type { TurnWork } from "../subtask/turns.ts";

/** Objects stay small enough to be read in one piece. */
const OBJECT_BYTES_MAX = 16 * 1024 * 1024;

interface CollectedChannel {
  readonly id: ChannelId;
  readonly records: InFlightRecords[];
}

/** The records that one checkpoint has overtaken; complete once nothing is collected any more. */
export class ChannelCollection {
  readonly checkpointId: number;
  readonly #gate: InputGate;
  readonly #channels: CollectedChannel[] = [];

  constructor(checkpointId: number, gate: InputGate) {
    this.checkpointId = checkpointId;
    this.#gate = gate;
  }

  begin(channels: readonly number[], ids: readonly ChannelId[], input: GateInput): void {
    for (const channel of channels) {
      const records: InFlightRecords[] = [];
      this.#channels.push({ id: ids[channel]!, records });
      const taken = input.unprocessed(channel);
      if (taken !== undefined) records.push(taken);
      this.#gate.collectBefore(channel, this.checkpointId, (one) => records.push(one));
    }
  }

  drop(): void {
    this.#gate.stopCollecting();
  }

  filled(): readonly CollectedChannel[] {
    return this.#channels.filter(({ records }) => records.length > 0);
  }
}

export interface ChannelStateUploadOptions {
  readonly clock: Clock;
  readonly collected: readonly CollectedChannel[];
  readonly storage: Pick<CheckpointStorage, "put">;
  readonly inlineBytesMax: number;
  readonly objectName: (part: number) => string;
  /** Called once; not when it was canceled. */
  readonly onStored: (handles: readonly ChannelStateHandle[]) => void;
  readonly onFailed: (error: unknown) => void;
}

interface EncodedChannel {
  readonly id: ChannelId;
  readonly chunks: Uint8Array[];
  records: number;
  bytes: number;
}

/** Encodes between records, then stores. */
export class ChannelStateUpload implements TurnWork {
  readonly #options: ChannelStateUploadOptions;
  readonly #abort = newLife();
  readonly #encoder = new FrameEncoder();
  readonly #encoded: EncodedChannel[] = [];
  readonly #work: readonly { readonly id: ChannelId; readonly records: InFlightRecords }[];
  #at = 0;

  constructor(options: ChannelStateUploadOptions) {
    this.#options = options;
    this.#work = options.collected.flatMap(({ id, records }) => records.map((one) => ({ id, records: one })));
  }

  step(deadlineMs: number): "more" | "done" {
    try {
      for (let next = this.#work[this.#at]; next !== undefined; next = this.#work[++this.#at]) {
        if (this.#options.clock.elapsedMs() >= deadlineMs) return "more";
        const chunks = encodeStored(next.records, this.#encoder);
        const bytes = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
        const channel = this.#channelFor(next.id, bytes);
        channel.chunks.push(...chunks);
        channel.records += countRecords(next.records);
        channel.bytes += bytes;
      }
    } catch (error) {
      this.#options.onFailed(error);
      return "done";
    }
    void this.#store();
    return "done";
  }

  cancel(): void {
    this.#abort.abort(new Error("the checkpoint was given up"));
  }

  /** Where a channel's next records go: to what its last ones went to, unless that would be too much for one object. */
  #channelFor(id: ChannelId, bytes: number): EncodedChannel {
    const last = this.#encoded.at(-1);
    if (last?.id === id && last.bytes + bytes <= OBJECT_BYTES_MAX) return last;
    const next = { id, chunks: [], records: 0, bytes: 0 };
    this.#encoded.push(next);
    return next;
  }

  async #store(): Promise<void> {
    const { storage, inlineBytesMax, objectName, onStored, onFailed } = this.#options;
    const { signal } = this.#abort;
    try {
      const total = this.#encoded.reduce((sum, { bytes }) => sum + bytes, 0);
      if (total <= inlineBytesMax) {
        const handles = this.#encoded.map((channel) => ({
          ...handleOf(channel),
          inline: Buffer.concat(channel.chunks),
        }));
        onStored(handles);
        return;
      }
      const objects = await Promise.all(
        packed(this.#encoded).map(async (channels, part) => {
          const chunks = channels.flatMap((channel) => channel.chunks);
          return withObject(channels, await storage.put(objectName(part), chunks, signal));
        }),
      );
      if (!signal.aborted) onStored(objects.flat());
    } catch (error) {
      if (!signal.aborted) onFailed(error);
    }
  }
}

function handleOf({ id, records, bytes }: EncodedChannel): ChannelStateHandle {
  return { ...id, records, bytes, inline: null, object: null, offset: 0 };
}

function withObject(channels: readonly EncodedChannel[], object: ObjectHandle): ChannelStateHandle[] {
  let offset = 0;
  return channels.map((channel) => {
    const handle = { ...handleOf(channel), object, offset };
    offset += channel.bytes;
    return handle;
  });
}

/** The channels in groups that share an object each. */
function packed(channels: readonly EncodedChannel[]): EncodedChannel[][] {
  const objects: EncodedChannel[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const channel of channels) {
    if (bytes + channel.bytes > OBJECT_BYTES_MAX) {
      objects.push([]);
      bytes = 0;
    }
    objects.at(-1)!.push(channel);
    bytes += channel.bytes;
  }
  return objects;
}

/**
 * Hands the records of a restored checkpoint to the gate, in front of everything that will come.
 *
 * @param receiverOf the subtask as what an edge leads to
 */
export async function restoreChannels(
  gate: InputGate,
  ids: readonly ChannelId[],
  handles: readonly ChannelStateHandle[],
  receiverOf: (edge: string) => Receiver,
  read: (object: ObjectHandle) => Promise<Uint8Array>,
  clock: Clock,
): Promise<void> {
  const objects = new Map<string, Uint8Array>();
  for (const handle of handles) {
    const channel = ids.findIndex(
      ({ edge, from, to }) => edge === handle.edge && from === handle.from && to === handle.to,
    );
    invariant(
      channel >= 0,
      `records of ${describeChannel(handle)} are restored, and there is no such channel`,
    );
    const { object } = handle;
    let bytes = handle.inline;
    if (object !== null) {
      const whole = objects.get(object.name) ?? (await read(object));
      objects.set(object.name, whole);
      bytes = whole.subarray(handle.offset, handle.offset + handle.bytes);
    }
    const place = object?.name ?? `records of ${describeChannel(handle)} in the manifest`;
    const frames = framesIn(bytes ?? new Uint8Array(), place);
    const records = frames.reduce((sum, { values }) => sum + values.length, 0);
    if (records !== handle.records)
      throw new ObjectCorruptError(place, `${place}: ${records} records instead of ${handle.records}`);
    const own = handle.rescaled === true ? frames.map(recordsFor(receiverOf(handle.edge))) : frames;
    for (const frame of own)
      if (frame.values.length > 0 || frame.marks !== undefined) gate.restore(channel, frame);
    await nextTurn(clock);
  }
}

function framesIn(bytes: Uint8Array, place: string): readonly RecordsFrame[] {
  try {
    return [...decodeStored(bytes)];
  } catch (cause) {
    throw new ObjectCorruptError(place, `${place} cannot be decoded`, { cause });
  }
}
