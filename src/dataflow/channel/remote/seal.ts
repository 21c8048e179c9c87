/**
 * The seal of a remote channel's messages: it shows that the other end of this channel has sent them, just so.
 *
 * Owns: how a message is sealed, and how the seals of all messages become one number. Does not own: what becomes of a
 * message without the seal (remote-line.ts).
 *
 * Any connection of the account may publish on a channel's subjects: it may repeat, cut, change, delay or renumber what
 * it has heard there. The seal is the CRC-32 of all bytes of the message but its own four, and it begins with a number
 * that is made of the generation's nonce (P6) and the subject.
 *
 * SE1 A message of another channel, direction, generation or life of the job does not fit; nor does one in which any
 *     bit was changed. By chance one of 2^32 does, which the digest of all frames then tells (RM8).
 * SE2 It is no signature. A sender that wants to deceive can make one, because the nonce is told over the same bus; the
 *     account's permissions keep such a sender away.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";

const SEAL_AT = 16;
const SEAL_BYTES = 4;

export class Seal {
  readonly #begin: number;

  /**
   * @param nonce of the generation
   * @param subject that the messages are sent on
   */
  constructor(nonce: string, subject: string) {
    this.#begin = createHash("sha256").update(`${nonce} ${subject}`).digest().readUInt32BE(0);
  }

  /** Writes the seal into a message that is complete, and answers it. */
  stamp(message: Buffer): number {
    const seal = this.#of(message);
    message.writeUInt32BE(seal, SEAL_AT);
    return seal;
  }

  /** A message that has at least a header. */
  fits(message: Uint8Array): boolean {
    return this.#of(message) === sealOf(message);
  }

  #of(message: Uint8Array): number {
    const header = crc32(message.subarray(0, SEAL_AT), this.#begin);
    return crc32(message.subarray(SEAL_AT + SEAL_BYTES), header);
  }
}

/** The seal that a message carries. */
export function sealOf(message: Uint8Array): number {
  return new DataView(message.buffer, message.byteOffset, message.byteLength).getUint32(SEAL_AT);
}

/** The digest of messages in their order: of those before, and of one more. Begins with 0. */
export function digestWith(digest: number, seal: number): number {
  return (Math.imul(digest, 31) + seal) >>> 0;
}
