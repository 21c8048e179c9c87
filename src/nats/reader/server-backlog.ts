/** What the server still has for one reader and has not sent: by it a split knows that it is behind, or idle. */
export class ServerBacklog {
  /** The number of messages, when the server told last. */
  records = 0;
  readonly #ask: () => Promise<number | undefined>;
  #isAsking = false;

  /** @param ask answers what the consumer says now; undefined: it does not know yet */
  constructor(ask: () => Promise<number | undefined>) {
    this.#ask = ask;
  }

  /** Called when nothing has come for a while: what was pending may have been deleted, and then it never comes. */
  async checkOnSilence(): Promise<void> {
    if (this.records === 0 || this.#isAsking) return;
    this.#isAsking = true;
    try {
      this.records = (await this.#ask()) ?? this.records;
    } catch {
      // The next heartbeat asks again, and no heartbeat is a loss.
    } finally {
      this.#isAsking = false;
    }
  }
}
