/**
 * Connections that ended without a word of the server, and what follows when that happens again and again (P65).
 *
 * nats-server says nothing to a client that does not take what is meant for it quickly enough: where more than
 * `max_pending` waits for the client, or a write takes longer than `write_deadline`, it closes the connection
 * (queueOutbound in server/client.go). What waits may be a single pull's messages, so the same pull would end the next
 * connection, too.
 *
 * - SB1 Each such end halves what one pull of this process may bring. After a while without one it doubles again.
 * - SB2 Several of them within a short time are told in words, with the settings that may be too small.
 */

const SHARE_MIN = 1 / 1024;
/** Growing too early would end the connection again, and with it all that is on its way. */
const GROWS_AFTER_MS = 600_000;
const TOLD_WITHIN_MS = 60_000;
const TOLD_FROM = 3;

export class SilentLosses {
  #timesMs: number[] = [];
  #share = 1;
  #changedMs = 0;

  /** Returns what to tell of it; undefined: one such end is everyday. */
  lost(): string | undefined {
    const nowMs = performance.now();
    this.#share = Math.max(SHARE_MIN, this.shareOfPulls() / 2);
    this.#changedMs = nowMs;
    this.#timesMs = [...this.#timesMs.filter((timeMs) => nowMs - timeMs < TOLD_WITHIN_MS), nowMs];
    const times = this.#timesMs.length;
    if (times < TOLD_FROM) return undefined;
    return (
      `${times} connections within a minute have ended without a word of nats-server: where its log says "Slow Consumer ` +
      'Detected", raise max_pending or write_deadline in its configuration, and reload it; else look at the network'
    );
  }

  /** How much of the usual bytes a pull may bring, above 0 and up to 1. */
  shareOfPulls(): number {
    if (this.#share < 1 && performance.now() - this.#changedMs > GROWS_AFTER_MS) {
      this.#share *= 2;
      this.#changedMs = performance.now();
    }
    return this.#share;
  }
}
