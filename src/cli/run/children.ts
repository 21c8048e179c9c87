/**
 * The child processes of `tidemark run`: coordinator and workers, restarted when they die.
 *
 * Owns: starting, restarting, ending them. They run in process groups of their own, so that Ctrl-C reaches only the
 * parent (P30); over the IPC channel they notice when the parent is gone, however it ended.
 */
import { type ChildProcess, fork } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { WorkerIdentity } from "../../control/messages.ts";
import type { Trouble, TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";
import { makeDirectoriesNow } from "../../directories.ts";
import { EnvironmentError } from "../../errors.ts";
import { exitCodes } from "../output/report-error.ts";
import { CHILD_VARIABLE, type ChildMessage, type ParentMessage } from "../process/lifetime.ts";

export interface ChildSpec {
  /** "coordinator", "worker-1": names its log file. */
  readonly name: string;
  readonly args: readonly string[];
}

export interface ChildrenOptions {
  readonly logDir: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A child that cannot live: wrong job file, refused, a machine that lacks something, or dying again and again. */
  readonly onGivenUp: (error: Error) => void;
  readonly troubles: TroubleWatcher;
  /** What a child has been trying in vain at present, as it says itself. */
  readonly onTroubles?: (name: string, troubles: readonly Trouble[]) => void;
  readonly onExit?: (name: string, code: number | null, signal: NodeJS.Signals | null) => void;
  /** A worker that had started has ended by itself. */
  readonly onWorkerEnded?: (worker: WorkerIdentity, reason: string) => void;
  /** A child that has not answered for so long, in ms, is killed, so that another one can go on. */
  readonly silenceMsMax: number;
}

const RESTART_PAUSE_MS = 100;
/** A child that dies this often in a row before it has started is given up. */
const FAILED_STARTS_MAX = 5;
/** A child that lives for so long has got over what killed it before. */
const SETTLED_MS = 10_000;
/**
 * So many in the time that a child may be silent: one that comes late because we were held up ourselves counts once.
 */
const PINGS = 4;
const FINAL_EXIT_CODES: ReadonlySet<number> = new Set([exitCodes.usage, exitCodes.refused]);

export class Children {
  readonly #options: ChildrenOptions;
  readonly #running = new Map<string, ChildProcess>();
  /** The deaths in a row of children that have not lived long enough since. */
  readonly #deaths = new Map<string, number>();
  readonly #watches = new Map<string, TroubleWatch>();
  #ending = false;

  constructor(options: ChildrenOptions) {
    this.#options = options;
    try {
      makeDirectoriesNow(options.logDir);
    } catch (cause) {
      throw new EnvironmentError(
        `logs cannot be written to ${options.logDir}; it must be a directory that this user may write`,
        {
          cause,
        },
      );
    }
  }

  start(spec: ChildSpec, failedStarts = 0): void {
    if (this.#ending) return;
    const log = openSync(this.#logFile(spec.name), "a");
    const main = fileURLToPath(new URL("../main.js", import.meta.url));
    const child = fork(main, [...spec.args], {
      detached: true,
      stdio: ["ignore", log, log, "ipc"],
      env: { ...this.#options.environment, [CHILD_VARIABLE]: "1" },
    });
    closeSync(log);
    let started = false;
    let worker: WorkerIdentity | undefined;
    let lastWord: string | undefined;
    let unfit: string | undefined;
    let unanswered = 0;
    const pinging = setInterval(() => {
      if (!started) return;
      if (++unanswered > PINGS) {
        lastWord ??= `it has not answered for ${this.#options.silenceMsMax} ms: a function does not return, or the process is held up`;
        child.kill("SIGKILL");
      } else if (child.connected) child.send({ type: "ping" } satisfies ParentMessage, () => {});
    }, this.#options.silenceMsMax / PINGS);
    pinging.unref();
    child.on("message", (message: ChildMessage) => {
      unanswered = 0;
      if (message.type === "started") {
        started = true;
        worker = message.worker;
        this.#lives(spec.name, child);
      } else if (message.type === "crashed") lastWord = message.reason;
      else if (message.type === "unfit") unfit = message.reason;
      else if (message.type === "troubles") this.#options.onTroubles?.(spec.name, message.troubles);
    });
    this.#running.set(spec.name, child);
    child.once("exit", (code, signal) => {
      clearInterval(pinging);
      if (this.#running.get(spec.name) === child) this.#running.delete(spec.name);
      this.#options.onTroubles?.(spec.name, []);
      this.#options.onExit?.(spec.name, code, signal);
      if (this.#ending) return;
      const reason = lastWord ?? causeOfExit(code, signal, this.#logFile(spec.name));
      if (worker !== undefined) this.#options.onWorkerEnded?.(worker, reason);
      this.#died(spec.name, reason);
      if (unfit !== undefined) {
        this.#options.onGivenUp(new EnvironmentError(`${spec.name} cannot start: ${unfit}`));
        return;
      }
      const failures = started ? 0 : failedStarts + 1;
      if ((code !== null && FINAL_EXIT_CODES.has(code)) || failures >= FAILED_STARTS_MAX)
        this.#options.onGivenUp(this.#lastLines(spec.name));
      else setTimeout(() => this.start(spec, failures), failures === 0 ? 0 : RESTART_PAUSE_MS);
    });
  }

  /** It has got over what killed it before when it lives for long enough. */
  #lives(name: string, child: ChildProcess): void {
    setTimeout(() => {
      if (this.#running.get(name) !== child) return;
      this.#deaths.delete(name);
      this.#watchOf(name).passed();
    }, SETTLED_MS).unref();
  }

  /** Once is no news: the job's failure says it. Again and again is what a user should know. */
  #died(name: string, reason: string): void {
    const deaths = (this.#deaths.get(name) ?? 0) + 1;
    this.#deaths.set(name, deaths);
    if (deaths > 1) this.#watchOf(name).failed(`it ends again and again: ${reason}`);
  }

  #watchOf(name: string): TroubleWatch {
    const watch = this.#watches.get(name) ?? this.#options.troubles.watch(`keeping ${name} alive`);
    this.#watches.set(name, watch);
    return watch;
  }

  /** Process id, while it runs. */
  processId(name: string): number | undefined {
    return this.#running.get(name)?.pid;
  }

  names(): string[] {
    return [...this.#running.keys()];
  }

  /** SIGTERM to those whose name begins so, SIGKILL when they take too long. */
  async stop(prefix: string, boundMs: number): Promise<void> {
    this.#ending = true;
    const children = [...this.#running].filter(([name]) => name.startsWith(prefix)).map(([, child]) => child);
    await Promise.all(children.map((child) => stopChild(child, boundMs)));
  }

  /** All of them, at once. */
  kill(): void {
    this.#ending = true;
    for (const child of this.#running.values()) child.kill("SIGKILL");
  }

  #logFile(name: string): string {
    return join(this.#options.logDir, `${name}.log`);
  }

  #lastLines(name: string): EnvironmentError {
    const file = this.#logFile(name);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n").slice(-5);
    return new EnvironmentError(`${name} cannot start; the end of ${file}:\n${lines.join("\n")}`);
  }
}

function causeOfExit(code: number | null, signal: NodeJS.Signals | null, logFile: string): string {
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  return `${how}${likelyCause(signal, logFile)}; its log is ${logFile}`;
}

/** Node ends by a signal when its heap is full, and the system kills what takes too much memory. */
function likelyCause(signal: NodeJS.Signals | null, logFile: string): string {
  if (signal === "SIGKILL") return " from outside, as the system does when memory runs out";
  if (signal !== null && tailOf(logFile).includes("heap out of memory"))
    return ", because its heap was full: give it more with NODE_OPTIONS=--max-old-space-size=<MB>, or keep less in memory";
  return "";
}

const TAIL_BYTES = 16_384;

function tailOf(file: string): string {
  return readFileSync(file).subarray(-TAIL_BYTES).toString();
}

function stopChild(child: ChildProcess, boundMs: number): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const timer = setTimeout(() => child.kill("SIGKILL"), boundMs);
    child.once("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill("SIGTERM");
  });
}
