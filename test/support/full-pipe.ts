/** A pipe that is full and that is not read until the test reads it. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";

const FILLING = "#";

export class FullPipe {
  /** The end for the process that is to write. */
  readonly writeEnd: number;
  readonly #readEnd: number;
  #taken = "";

  /** @param path where there is nothing yet */
  constructor(path: string) {
    execFileSync("mkfifo", [path]);
    this.#readEnd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.writeEnd = openSync(path, constants.O_WRONLY);
    for (const size of [4096, 1]) {
      const chunk = FILLING.repeat(size);
      while (isTaken(() => writeSync(this.#readEnd, chunk)));
    }
  }

  /** All that was written since it was full. */
  read(): string {
    const buffer = Buffer.alloc(65_536);
    while (
      isTaken(() => {
        this.#taken += buffer.toString("utf8", 0, readSync(this.#readEnd, buffer));
      })
    );
    return this.#taken.replace(/^#+/, "");
  }

  /** What is written from now on finds no reader. */
  leave(): void {
    closeSync(this.#readEnd);
  }
}

function isTaken(act: () => unknown): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
    throw error;
  }
}
