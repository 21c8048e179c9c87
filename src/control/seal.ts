/**
 * The seal of a control message: it shows that a process that knows the secret has sent the message, just so, to this
 * subject (P69).
 *
 * Owns: how a message is sealed, and which secret two processes have in common. Does not own: what becomes of a message
 * without the seal (link.ts).
 *
 * - SG1 A message that was changed does not fit, nor does one that was sealed for another subject, generation, life of
 *   the job or worker. An exact repetition does: handlers are idempotent, and what a client asks is new or "stale"
 *   (P75).
 * - SG2 The seal of an answer holds the seal of its request, so it answers no other one.
 * - SG3 It proves nothing against a process that wants to deceive: the secrets are told over the same bus. The
 *   account's permissions keep such a process away.
 */
import { createHmac } from "node:crypto";

const SEAL_CHARS = 32;

/** What only the leader and the workers of a generation know. */
export function generationSecret({
  incarnation,
  nonce,
}: {
  readonly incarnation: string;
  readonly nonce: string;
}): string {
  return `${incarnation} ${nonce}`;
}

/**
 * @param content the bytes of the message
 * @param answered the seal of the request that the message answers; "": it is a request
 */
export function sealOf(secret: string, subject: string, content: Uint8Array, answered = ""): string {
  return createHmac("sha256", secret)
    .update(`${subject} ${answered} `)
    .update(content)
    .digest("hex")
    .slice(0, SEAL_CHARS);
}
