/** Loads the keyed state of one subtask from what its manifest names, in slices, so that the process stays alive. */
import type { ObjectHandle, StateHandle } from "../../../machines/protocol.ts";
import type { Chain } from "../../dataflow/chain.ts";
import type { KeyedStateDetail } from "./snapshot-upload.ts";

const SLICE_MS = 4;

export async function restoreKeyedState(
  chain: Chain,
  states: readonly StateHandle[],
  read: (object: ObjectHandle) => Promise<Uint8Array>,
): Promise<void> {
  for (const handle of states) {
    if (handle.kind !== "keyed") continue;
    const detail = handle.inline as KeyedStateDetail;
    const address = { operator: handle.operator, state: detail.state };
    if (detail.bytes !== undefined) {
      await load(chain, address, {
        object: `state of ${handle.operator} in the manifest`,
        bytes: detail.bytes,
      });
      continue;
    }
    for (const object of handle.objects) {
      const bytes = await read(object);
      await load(chain, address, { object: object.name, bytes });
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
