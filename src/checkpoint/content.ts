/** What every storage does with the content of an object: read it so that it can be aborted, and name its digest. */
import { createHash, type Hash } from "node:crypto";

export type Content = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Settles as `pending` does, or rejects with the signal's reason as soon as that is aborted. `pending` goes on. */
export async function abortable<T>(pending: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await pending;
  return await new Promise<T>((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    pending.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** The pieces of `content`. An abort is noticed even while the producer is silent. */
export async function* untilAborted(
  content: Content,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const iterator =
    Symbol.asyncIterator in content ? content[Symbol.asyncIterator]() : content[Symbol.iterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await abortable(Promise.resolve(iterator.next()), signal);
      if (next.done === true) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    // This is not awaited: a producer that hangs in next() would hang here, too.
    if (!ended) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

/**
 * The same bytes in pieces of exactly `pieceBytes`, the last one shorter. A piece may be a view of what came in: the
 * producer must not change a buffer after it was handed over.
 */
export async function* inPieces(
  content: AsyncIterable<Uint8Array>,
  pieceBytes: number,
): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for await (const given of content) {
    let rest = given;
    while (waitingBytes + rest.length >= pieceBytes) {
      const taken = pieceBytes - waitingBytes;
      waiting.push(rest.subarray(0, taken));
      yield joined(waiting);
      waiting = [];
      waitingBytes = 0;
      rest = rest.subarray(taken);
    }
    if (rest.length > 0) {
      waiting.push(rest);
      waitingBytes += rest.length;
    }
  }
  if (waitingBytes > 0) yield joined(waiting);
}

/** The same bytes in pieces of at least `bytesMin`, the last one shorter. Larger pieces pass as they are. */
export async function* gathered(
  content: AsyncIterable<Uint8Array>,
  bytesMin: number,
): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for await (const piece of content) {
    waiting.push(piece);
    waitingBytes += piece.length;
    if (waitingBytes < bytesMin) continue;
    yield joined(waiting);
    waiting = [];
    waitingBytes = 0;
  }
  if (waitingBytes > 0) yield joined(waiting);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
}

export function newDigest(): Hash {
  return createHash("sha256");
}

/** The digest in the form of `ObjectHandle.digest`. Ends `hash`. */
export function digestText(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`;
}
