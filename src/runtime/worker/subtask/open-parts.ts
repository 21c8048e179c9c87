/**
 * What one subtask has opened and has to close: a reader, writers, the chain.
 *
 * A restore opens them one after the other and may be ended in between: a part that opens later is closed at once.
 */
export interface OpenPart {
  close(): void | Promise<void>;
}

export class OpenParts {
  readonly #onFailure: (error: unknown) => void;
  readonly #parts: OpenPart[] = [];
  #closed = false;

  /** @param onFailure told of each part that could not be closed; the others are closed all the same */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  add<P extends OpenPart>(part: P): P {
    if (this.#closed) void this.#close(part);
    else this.#parts.push(part);
    return part;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#parts.splice(0).map((part) => this.#close(part)));
  }

  async #close(part: OpenPart): Promise<void> {
    try {
      await part.close();
    } catch (error) {
      this.#onFailure(error);
    }
  }
}
