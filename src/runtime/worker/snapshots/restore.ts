/** Loads the keyed state of one subtask from what its manifest names, in slices, so that the process stays alive. */
import type { KeyedStateHandle, ObjectHandle, StateHandle } from "../../../../machines/protocol.ts";
import { type Clock, nextTurn } from "../../../clock.ts";
import type { Chain, StoredAddress } from "../../../dataflow/chain.ts";

const SLICE_MS = 4;
/** What is read while another object is loaded: two large objects, or many of the small ones that layers consist of. */
const AHEAD_BYTES_MAX = 32 * 1024 * 1024;
const AHEAD_OBJECTS_MAX = 16;

export async function restoreKeyedState(
  chain: Chain,
  states: readonly StateHandle[],
  read: (object: ObjectHandle) => Promise<Uint8Array>,
  clock: Clock,
): Promise<void> {
  const keyed = states.filter((handle): handle is KeyedStateHandle => handle.kind === "keyed");
  const parts = keyed.flatMap((handle) => handle.pieces.map(({ content }) => ({ handle, content })));
  const reads: Promise<Uint8Array>[] = [];
  let aheadBytes = 0;
  for (const [at, { handle, content }] of parts.entries()) {
    while (reads.length < parts.length && reads.length <= at + AHEAD_OBJECTS_MAX) {
      const next = parts[reads.length]!.content;
      if (reads.length > at && aheadBytes + bytesOf(next) > AHEAD_BYTES_MAX) break;
      aheadBytes += bytesOf(next);
      reads.push(begun(next, read));
    }
    const isInline = content instanceof Uint8Array;
    const object = isInline ? `state of ${handle.operator} in the manifest` : content.name;
    await load(chain, handle, { object, bytes: await reads[at]! }, clock);
    // It may be many MB: only those ahead are kept.
    delete reads[at];
    aheadBytes -= bytesOf(content);
  }
  const slices = chain.restored();
  await inSlices(() => slices.step(), clock);
}

/** What reading it takes of memory; what is in the manifest is there already. */
function bytesOf(content: Uint8Array | ObjectHandle): number {
  return content instanceof Uint8Array ? 0 : content.bytes;
}

/** The read of a part. It may fail while another one is loaded; the loop tells. */
function begun(
  content: Uint8Array | ObjectHandle,
  read: (object: ObjectHandle) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return Promise.resolve(content);
  const reading = read(content);
  reading.catch(() => undefined);
  return reading;
}

async function load(
  chain: Chain,
  address: StoredAddress,
  source: { readonly object: string; readonly bytes: Uint8Array },
  clock: Clock,
): Promise<void> {
  if (source.bytes.byteLength === 0) return;
  const restorer = chain.restorer(address, source);
  await inSlices(() => restorer.next(), clock);
}

async function inSlices(step: () => boolean, clock: Clock): Promise<void> {
  let deadlineMs = clock.elapsedMs() + SLICE_MS;
  while (step()) {
    if (clock.elapsedMs() < deadlineMs) continue;
    await nextTurn(clock);
    deadlineMs = clock.elapsedMs() + SLICE_MS;
  }
}
