/** What the server says about a delivered message in its reply subject, read from the bytes without splitting. */

const DOT = 46;
const ZERO = 48;
/** Nanoseconds are read down to milliseconds: as many last digits are left out. */
const DIGITS_BELOW_MILLISECOND = 6;
/** Dots of the form with domain, account hash and a random token at the end; the short form has 8. */
const DOTS_WITH_RANDOM_TOKEN = 11;

/** Reused for every message: the fields hold the last one read. */
export class Delivery {
  streamSequence = 0;
  /** Counts the messages of one consumer: a gap in it is a lost message, a gap in the stream sequence is not. */
  deliverySequence = 0;
  /** When the stream stored the message, milliseconds since 1970. */
  timestampMs = 0;
  /** How many further messages the consumer would deliver as of now. */
  pending = 0;
  #scratch = Buffer.alloc(256);

  /**
   * Reads
   * `$JS.ACK[.<domain>.<account>].<stream>.<consumer>.<count>.<streamSequence>.<deliverySequence>.<ns>.<pending>[.<random>]`
   * from its end.
   */
  read(bytes: Uint8Array, start: number, end: number, hasRandomToken: boolean): void {
    let at = end - 1;
    if (hasRandomToken) at = tokenStart(bytes, start, at) - 2;
    let from = tokenStart(bytes, start, at);
    this.pending = decimal(bytes, from, at);
    at = from - 2;
    from = tokenStart(bytes, start, at);
    this.timestampMs = decimal(bytes, from, at - DIGITS_BELOW_MILLISECOND);
    at = from - 2;
    from = tokenStart(bytes, start, at);
    this.deliverySequence = decimal(bytes, from, at);
    at = from - 2;
    from = tokenStart(bytes, start, at);
    this.streamSequence = decimal(bytes, from, at);
  }

  readText(reply: string, hasRandomToken: boolean): void {
    if (reply.length > this.#scratch.length) this.#scratch = Buffer.alloc(reply.length);
    const end = this.#scratch.write(reply, "latin1");
    this.read(this.#scratch, 0, end, hasRandomToken);
  }
}

/** The offset of the first byte of the token whose last byte is at `last`. */
function tokenStart(bytes: Uint8Array, start: number, last: number): number {
  let at = last;
  while (at > start && bytes[at] !== DOT) at--;
  return at + 1;
}

function decimal(bytes: Uint8Array, from: number, last: number): number {
  let value = 0;
  for (let at = from; at <= last; at++) value = value * 10 + bytes[at]! - ZERO;
  return value;
}

/** The form of reply subjects is one per consumer. */
export function endsWithRandomToken(bytes: Uint8Array, start: number, end: number): boolean {
  let dots = 0;
  for (let at = start; at < end; at++) if (bytes[at] === DOT) dots++;
  return dots === DOTS_WITH_RANDOM_TOKEN;
}
