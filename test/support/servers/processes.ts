/**
 * Child processes of a test: compiled programs of ours that are really killed, stopped and started again.
 *
 * Owns: their logs, how each of them ended, and that none survives the test, however the test ends.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface ProcessSpec {
  /** Names the log file; several lives of one name share it. */
  readonly name: string;
  /** A JavaScript file. */
  readonly script: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface ProcessExit {
  readonly name: string;
  readonly processId: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** false: the test had not asked for it. */
  readonly asked: boolean;
}

export class TestProcess {
  readonly name: string;
  readonly processId: number;
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  #asked = false;
  #suspended = false;
  #gone = false;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    this.processId = child.pid ?? 0;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#gone = true;
        resolve({ name, processId: this.processId, code, signal, asked: this.#asked });
      });
    });
  }

  get running(): boolean {
    return !this.#gone;
  }

  get suspended(): boolean {
    return this.#suspended && !this.#gone;
  }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#asked = true;
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  /** It is about to end by itself, and that is what the test wants. */
  expectExit(): void {
    this.#asked = true;
  }

  suspend(): void {
    this.#suspended = true;
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#suspended = false;
    this.#child.kill("SIGCONT");
  }

  send(message: object): void {
    if (this.#child.connected) this.#child.send(message);
  }

  onMessage(take: (message: unknown) => void): void {
    this.#child.on("message", take);
  }
}

export class Processes {
  readonly exits: ProcessExit[] = [];
  readonly #directory: string;
  readonly #running = new Set<TestProcess>();
  readonly #watch: ChildProcess;
  #ending = false;

  /** Logs go into `directory`, which is made. */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    writeFileSync(this.#processIdFile, "");
    this.#watch = killWhenThisProcessEnds(this.#processIdFile);
  }

  start(spec: ProcessSpec): TestProcess {
    if (this.#ending) throw new Error(`${spec.name} is not started: the test ends`);
    const log = openSync(this.logFile(spec.name), "a");
    const child = fork(spec.script, [...spec.args], {
      detached: true,
      stdio: ["ignore", log, log, "ipc"],
      execArgv: [],
      env: { ...process.env, ...spec.environment },
    });
    closeSync(log);
    const started = new TestProcess(spec.name, child);
    this.#running.add(started);
    this.#noteProcessIds();
    void started.exited.then((exit) => {
      this.exits.push(exit);
      this.#running.delete(started);
      this.#noteProcessIds();
    });
    return started;
  }

  logFile(name: string): string {
    return join(this.#directory, `${name}.log`);
  }

  /** The last lines that it logged. */
  tail(name: string, lines = 12): string {
    return readFileSync(this.logFile(name), "utf8").trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Ends what is left, suspended or not. */
  async killAll(): Promise<void> {
    this.#ending = true;
    await Promise.all([...this.#running].map((one) => one.kill()));
    this.#watch.kill("SIGKILL");
  }

  get #processIdFile(): string {
    return join(this.#directory, "process-ids");
  }

  #noteProcessIds(): void {
    const lines = [...this.#running].map((one) => `${one.processId}\n`);
    writeFileSync(this.#processIdFile, lines.join(""));
  }
}

/** A shell whose standard input only we hold: it wakes up when we are gone, however we ended. */
function killWhenThisProcessEnds(processIdFile: string): ChildProcess {
  const script = 'read -r _; while read -r id; do kill -9 "$id"; done < "$0"';
  const watch = spawn("/bin/sh", ["-c", script, processIdFile], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watch.unref();
  return watch;
}
