/**
 * The windows that an operator had when its state was cut, beside that state: in a checkpoint that a job with other
 * windows begins with. The first one of that job's own does not have it any more.
 */
import type { WindowsPlan } from "../../../machines/protocol.ts";
import { ObjectCorruptError } from "../../errors.ts";
import { encodeValue } from "../codec.ts";
import { windowsPlan } from "../job.ts";
import { unpacked } from "../shape.ts";

/** The name of the operator state: no user can name a state like that. */
export const FORMER_WINDOWS = "former windows of the operator";

export const encodeFormerWindows = (windows: WindowsPlan): Uint8Array => encodeValue(windows);

/** @throws ObjectCorruptError */
export function parseFormerWindows(entry: Uint8Array, operator: string): WindowsPlan {
  const found = unpacked(windowsPlan, entry);
  if ("value" in found) return found.value;
  const place = `former windows of operator ${operator}`;
  throw new ObjectCorruptError(place, `the ${place} cannot be read: ${found.problem}`);
}
