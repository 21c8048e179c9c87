/** Loads the keyed state of one subtask from what its manifest names, in slices, so that the process stays alive. */
import type { KeyedStateHandle, ObjectHandle, StateHandle } from "../../../../machines/protocol.ts";
import { type Clock, nextTurn } from "../../../clock.ts";
import type { Chain, StoredAddress } from "../../../dataflow/chain.ts";

const SLICE_MS = 4;
/** So many objects are read while another one is loaded: each is 16 MiB at most. */
const READ_AHEAD = 2;

export async function restoreKeyedState(
  chain: Chain,
  states: readonly StateHandle[],
  read: (object: ObjectHandle) => Promise<Uint8Array>,
  clock: Clock,
): Promise<void> {
  const keyed = states.filter((handle): handle is KeyedStateHandle => handle.kind === "keyed");
  const parts = keyed.flatMap((handle) => handle.pieces.map(({ content }) => ({ handle, content })));
  const reads: Promise<Uint8Array>[] = [];
  for (const [at, { handle, content }] of parts.entries()) {
    for (const ahead of parts.slice(reads.length, at + 1 + READ_AHEAD))
      reads.push(begun(ahead.content, read));
    const isInline = content instanceof Uint8Array;
    const object = isInline ? `state of ${handle.operator} in the manifest` : content.name;
    await load(chain, handle, { object, bytes: await reads[at]! }, clock);
    // It may be many MB: only those ahead are kept.
    delete reads[at];
  }
  const slices = chain.restored();
  await inSlices(() => slices.step(), clock);
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
