/**
 * Standard output belongs to the command: its answer must stay readable for a program (`--json`). What the job's code
 * prints goes to standard error.
 *
 * Owns: that no write holds the process up, and that an answer which could not be written is known. Does not own: how
 * the command ends then (exit.ts).
 *
 * - SO1 A write never waits. What the reader does not take is kept in this process, so a writer of what may be left out
 *   asks `isBehind` first.
 * - SO2 A reader that has gone (`| head -1`) has what it wanted. That is no failure.
 */
import { once } from "node:events";
import { advice } from "./advice.ts";

const write = process.stdout.write.bind(process.stdout);
const writeError = process.stderr.write.bind(process.stderr);
const READER_GONE: ReadonlySet<unknown> = new Set(["EPIPE", "ECONNRESET", "ERR_STREAM_DESTROYED"]);
let lost = false;
let isGone = false;

/** What the command itself says. */
export const commandOutput = {
  write(text: string): void {
    commandOutput.writeAsIs(advice.complete(text));
  },
  /** One line for a program. */
  writeJson(value: unknown): void {
    commandOutput.writeAsIs(`${JSON.stringify(value, advice.completeIn)}\n`);
  },
  writeAsIs(text: string): void {
    write(text, (error?: NodeJS.ErrnoException | null) => {
      if (!error) return;
      isGone = true;
      if (!READER_GONE.has(error.code)) lose(error.message);
    });
  },
  get isTTY(): boolean {
    return process.stdout.isTTY;
  },
  get columns(): number {
    return process.stdout.columns;
  },
  /** So much waits for the reader that more would only heap up. */
  get isBehind(): boolean {
    return process.stdout.writableNeedDrain;
  },
  /** Resolves when the reader has taken what waits for it, or takes nothing any more. */
  async room(): Promise<void> {
    const { stdout } = process;
    if (!stdout.writableNeedDrain) return;
    const ended = new AbortController();
    const { signal } = ended;
    // A failed write leaves no drain behind.
    await Promise.race(
      ["drain", "error", "close"].map((event) => once(stdout, event, { signal }).catch(() => {})),
    );
    ended.abort();
  },
  /** Its reader has gone, or it cannot be written: what is written now reaches nobody. */
  get isOver(): boolean {
    return lost || isGone;
  },
  /** Something could not be written, which was said. */
  get isLost(): boolean {
    return lost;
  },
  /** Nothing more is waited for. What has not left the process is lost. */
  giveUp(): void {
    if (process.stdout.writableLength > 0) lose("it is full, and its reader takes nothing");
  },
  /** Resolves once everything that was written, to standard error as well, has left the process or can no longer. */
  async flushed(): Promise<void> {
    await Promise.all(
      [write, writeError].map((last) => new Promise<void>((resolve) => last("", () => resolve()))),
    );
  },
};

function lose(reason: string): void {
  if (lost) return;
  lost = true;
  writeError(
    `tidemark: standard output cannot be written (${reason}): what the command says is lost, what it does is not\n`,
  );
}

/** Sends what other code writes by `console.log` and `process.stdout.write` to standard error from now on. */
export function reserveStdout(): void {
  process.stdout.write = process.stderr.write.bind(process.stderr);
}

/**
 * Before anything is written. Node writes to a terminal until that has taken everything: one that stands still (Ctrl-S,
 * a connection that hangs) would stop the whole process, its signals and heartbeats included.
 */
export function prepareOutput(): void {
  for (const stream of [process.stdout, process.stderr]) {
    // It ends the output, not what the process is there for.
    stream.on("error", () => {});
    if (!stream.isTTY) continue;
    const { _handle: handle } = stream as unknown as { _handle?: { setBlocking?(on: boolean): unknown } };
    handle?.setBlocking?.(false);
  }
}
