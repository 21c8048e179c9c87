/** The file of `tidemark run --events`. */
import { closeSync, openSync, writeSync } from "node:fs";
import type { Logger } from "../../dataflow/connector.ts";
import { ConfigurationError, describeError } from "../../errors.ts";

/** Events as they come, each written before the next one: what is in the file when the process dies is whole. */
export class EventFile {
  readonly #path: string;
  readonly #descriptor: number;
  readonly #logger: Logger;
  #refused = false;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
    try {
      this.#descriptor = openSync(path, "a");
    } catch (cause) {
      throw new ConfigurationError("events", `--events ${path} cannot be written; name another file`, {
        cause,
      });
    }
  }

  append(line: string): void {
    if (this.#refused) return;
    try {
      writeSync(this.#descriptor, `${line}\n`);
    } catch (error) {
      // The job is worth more than its events.
      this.#refused = true;
      this.#logger.warn(
        {},
        `--events ${this.#path} takes no more (${describeError(error)}); the job goes on without it`,
      );
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
