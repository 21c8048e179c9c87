/** What a job file may change in its process while it is loaded, and what of it is put back. */

/** The environment that the process was started with: what a job file sets afterwards is for its own code. */
export const startEnvironment: Readonly<Record<string, string | undefined>> = { ...process.env };

type Listener = (...args: unknown[]) => void;

/** These tell Node which signals have a listener, so they come first. */
const WATCHED_BY_NODE: readonly (string | symbol)[] = ["newListener", "removeListener"];

/** The process at one moment: its directory, its streams, and its listeners. */
export class ProcessState {
  readonly #directory = process.cwd();
  readonly #exitCode = process.exitCode;
  readonly #writes = [process.stdout.write, process.stderr.write] as const;
  readonly #listeners = new Map(
    [...WATCHED_BY_NODE, ...process.eventNames()].map((event) => [event, listenersOf(event)]),
  );

  /** @param keepsNew listeners that have come since stay, beside those that were there */
  restore(keepsNew: boolean): void {
    process.exitCode = this.#exitCode;
    if (process.cwd() !== this.#directory) process.chdir(this.#directory);
    [process.stdout.write, process.stderr.write] = this.#writes;
    for (const [event, before] of this.#listeners)
      for (const listener of before)
        if (!listenersOf(event).includes(listener)) process.on(event as "exit", listener);
    if (keepsNew) return;
    for (const event of process.eventNames())
      for (const listener of listenersOf(event))
        if (this.#listeners.get(event)?.includes(listener) !== true)
          process.removeListener(event as "exit", listener);
  }
}

const listenersOf = (event: string | symbol): Listener[] =>
  process.rawListeners(event as "exit") as Listener[];
