/** Loads the keyed state of one subtask from what its manifest names, in slices, so that the process stays alive. */
import type { ObjectHandle, StateHandle } from "../../../machines/protocol.ts";
import type { Chain } from "../../dataflow/chain.ts";

const SLICE_MS = 4;

export async function restoreKeyedState(
  chain: Chain,
  states: readonly StateHandle[],
  read: (object: ObjectHandle) => Promise<Uint8Array>,
): Promise<void> {
  for (const handle of states) {
    if (handle.kind !== "keyed") continue;
    for (const { content } of handle.pieces) {
      const isInline = content instanceof Uint8Array;
      await load(chain, handle, {
        object: isInline ? `state of ${handle.operator} in the manifest` : content.name,
        bytes: isInline ? content : await read(content),
      });
    }
  }
}

async function load(
  chain: Chain,
  address: { readonly operator: string; readonly state: string },
  source: { readonly object: string; readonly bytes: Uint8Array },
): Promise<void> {
  if (source.bytes.byteLength === 0) return;
  const restorer = chain.restorer(address, source);
  let deadlineMs = performance.now() + SLICE_MS;
  while (restorer.next()) {
    if (performance.now() < deadlineMs) continue;
    await new Promise(setImmediate);
    deadlineMs = performance.now() + SLICE_MS;
  }
}
