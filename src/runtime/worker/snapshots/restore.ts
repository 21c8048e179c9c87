/** Loads the keyed state of one subtask from what its manifest names, in slices, so that the process stays alive. */
import type { ObjectHandle, StateHandle } from "../../../../machines/protocol.ts";
import { type Clock, nextTurn } from "../../../clock.ts";
import type { Chain, StoredAddress } from "../../../dataflow/chain.ts";

const SLICE_MS = 4;

export async function restoreKeyedState(
  chain: Chain,
  states: readonly StateHandle[],
  read: (object: ObjectHandle) => Promise<Uint8Array>,
  clock: Clock,
): Promise<void> {
  for (const handle of states) {
    if (handle.kind !== "keyed") continue;
    for (const { content } of handle.pieces) {
      const isInline = content instanceof Uint8Array;
      const object = isInline ? `state of ${handle.operator} in the manifest` : content.name;
      await load(chain, handle, { object, bytes: isInline ? content : await read(content) }, clock);
    }
  }
  const slices = chain.restored();
  await inSlices(() => slices.step(), clock);
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
