/**
 * The real processes of a measurement: one nats-server and one coordinator for all of it, workers for each job.
 *
 * Owns: starting, killing and starting them again. Does not own: what is measured. The server syncs to disk as it does
 * by default (every two minutes), not at every write as `tidemark run` has it: the floors were measured so.
 * `--sync-always` shows the other.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import type { NatsConnection } from "@nats-io/transport-node";
import { connect } from "@nats-io/transport-node";
import { type NatsServer, startNatsServer } from "../../../src/nats/server/server.ts";
import { provideNatsServer } from "../../../src/nats/server/server-binary.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { type Variant, variantEnvironment } from "../jobs/variant.ts";
import { type Copy, OWN_COPY } from "./copy.ts";
import { type Mark, parseMark } from "./progress.ts";

const JOB_LIMIT_MS = 180_000;

export interface ClusterOptions {
  readonly syncAlways: boolean;
  /** Whose commands run. Default: ours. */
  readonly copy?: Copy;
  /** A module of the bench that is the storage of checkpoints. Default: an object store bucket. */
  readonly storage?: string;
}

export class BenchCluster {
  readonly copy: Copy;
  readonly server: NatsServer;
  readonly connection: NatsConnection;
  readonly #coordinator: BenchProcess;
  readonly #storage: readonly string[];

  static async start(options: ClusterOptions): Promise<BenchCluster> {
    const { path: binary } = await provideNatsServer();
    const storeDir = await mkdtemp(join(tmpdir(), "tidemark-bench-"));
    const syncInterval = options.syncAlways ? "always" : "2m";
    const server = await startNatsServer({ binary, storeDir, guarded: true, syncInterval });
    process.once("exit", () => {
      server.kill();
      rmSync(storeDir, { recursive: true, force: true, maxRetries: 5 });
    });
    const connection = await connect({ servers: server.url });
    return new BenchCluster(options.copy ?? OWN_COPY, server, connection, options.storage);
  }

  private constructor(
    copy: Copy,
    server: NatsServer,
    connection: NatsConnection,
    storage: string | undefined,
  ) {
    this.copy = copy;
    this.#storage = storage === undefined ? [] : ["--storage", copy.bench(storage)];
    this.server = server;
    this.connection = connection;
    this.#coordinator = new BenchProcess([copy.command, "coordinator", ...this.arguments]);
  }

  get arguments(): string[] {
    return ["--server", this.server.url, "--log-level", "silent", ...this.#storage];
  }

  /** Submits the job and starts its workers. */
  startJob(variant: Variant, options: JobOptions = {}): Promise<RunningJob> {
    const { name, parallelism } = variant;
    const environmentOf = (unique: string) => variantEnvironment({ ...variant, name: unique });
    return this.start({ name, parallelism, file: this.copy.job, environmentOf }, options);
  }

  /** Submits a job of any kind and starts its workers. */
  async start(described: DescribedJob, options: JobOptions = {}): Promise<RunningJob> {
    const job = new RunningJob(this, described, options);
    await job.submit();
    return job;
  }

  /** Starts the job, waits for its end, and answers with what it was like. */
  async run(variant: Variant, options: JobOptions = {}): Promise<RunningJob> {
    const job = await this.startJob(variant, options);
    try {
      await job.ended;
    } finally {
      await job.stop();
    }
    return job;
  }

  /** Resident memory in MB, the most there ever was. */
  get rss(): { coordinator: number; natsServer: number } {
    return { coordinator: rssMaxMb(this.#coordinator.pid), natsServer: rssMaxMb(this.server.pid) };
  }

  /** Processor time of coordinator and server so far, in microseconds. */
  get cpuUs(): number {
    return cpuUsOf(this.#coordinator.pid) + cpuUsOf(this.server.pid);
  }

  async stop(): Promise<void> {
    await this.#coordinator.kill();
    await this.connection.close();
    this.server.kill();
    await this.server.exited;
  }
}

/** What the processes of a job are told. */
export interface DescribedJob {
  /** Numbered, so that each round runs a job of its own and nothing is restored. */
  readonly name: string;
  /** Path of the job file. */
  readonly file: string;
  readonly parallelism: number;
  /** @param name the numbered one */
  readonly environmentOf: (name: string) => Readonly<Record<string, string>>;
}

export interface JobOptions {
  readonly workers?: number;
  /** A module of the bench that the workers load before anything else. */
  readonly preload?: string;
  /** Flags of node for the workers: a profile, … */
  readonly nodeArguments?: readonly string[];
  /** The job takes no longer. Default: three minutes. */
  readonly limitMs?: number;
}

let jobs = 0;

export class RunningJob {
  readonly name: string;
  readonly events: FeedEvent[] = [];
  /** Resolves when the job has ended, however; rejects when it takes too long or a worker gives up. */
  readonly ended: Promise<void>;
  readonly workers: BenchProcess[] = [];
  /** Wall clock, of the coordinator; NaN while it runs. */
  endedAtMs = Number.NaN;
  readonly #cluster: BenchCluster;
  readonly #described: DescribedJob;
  readonly #options: JobOptions;
  readonly #listeners = new Set<(event: FeedEvent) => void>();
  #ending = false;
  #fail: (error: Error) => void = () => {};

  constructor(cluster: BenchCluster, described: DescribedJob, options: JobOptions) {
    this.#cluster = cluster;
    this.#described = described;
    this.name = `${described.name}-${++jobs}`;
    this.#options = options;
    this.ended = new Promise((resolve, reject) => {
      const { limitMs = JOB_LIMIT_MS } = options;
      const limit = setTimeout(() => this.#fail(new Error("it takes too long")), limitMs);
      limit.unref();
      this.#fail = (error) => {
        clearTimeout(limit);
        reject(new Error(`job ${this.name}: ${error.message}`, { cause: error }));
      };
      this.onEvent((event) => {
        if (event.role !== "job" || event.to !== "ended") return;
        clearTimeout(limit);
        this.endedAtMs = event.t;
        resolve();
      });
    });
    this.ended.catch(() => undefined);
  }

  /** The answer ends it. */
  onEvent(listener: (event: FeedEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async submit(): Promise<void> {
    const { connection, copy } = this.#cluster;
    connection.subscribe(`tidemark.${this.name}.events`, {
      callback: (_, message) => {
        const event = message.json<FeedEvent>();
        this.events.push(event);
        for (const listener of this.#listeners) listener(event);
      },
    });
    await connection.flush();
    const submitting = new BenchProcess(
      [copy.command, "submit", this.#described.file, ...this.#cluster.arguments],
      this.#environment,
    );
    const count = this.#options.workers ?? 1;
    for (let i = 0; i < count; i++) this.#startWorker(i);
    const code = await submitting.exited;
    if (code !== 0) throw new Error(`job ${this.name} was not accepted`);
  }

  /** kill -9; another one is started at once, as `tidemark run` does it. */
  killWorker(index: number): number {
    const at = Date.now();
    void this.workers[index]!.kill();
    return at;
  }

  /** Marks of all workers, for `steadyRate`. */
  get marks(): readonly (readonly Mark[])[] {
    return this.workers.map((worker) => worker.lines.flatMap((line) => parseMark(line) ?? []));
  }

  get rssMb(): number[] {
    return this.workers.map((worker) => worker.rssMaxMb);
  }

  get #environment(): Readonly<Record<string, string>> {
    return this.#described.environmentOf(this.name);
  }

  async cancel(): Promise<void> {
    const canceling = new BenchProcess([
      this.#cluster.copy.command,
      "cancel",
      this.name,
      ...this.#cluster.arguments,
    ]);
    await canceling.exited;
    await this.ended.finally(() => this.stop());
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#ending = true;
    await Promise.all(this.workers.map((worker) => worker.kill(signal)));
  }

  #startWorker(index: number): void {
    const { copy } = this.#cluster;
    const { workers = 1, preload, nodeArguments = [] } = this.#options;
    const slots = String(Math.ceil(this.#described.parallelism / workers));
    const loading = preload === undefined ? [] : ["--import", pathToFileURL(copy.bench(preload)).href];
    const worker = new BenchProcess(
      [
        ...nodeArguments,
        ...loading,
        copy.command,
        "worker",
        this.#described.file,
        "--slots",
        slots,
        ...this.#cluster.arguments,
      ],
      this.#environment,
    );
    this.workers[index] = worker;
    void worker.exited.then((code) => {
      if (this.#ending) return;
      if (code === null) this.#startWorker(index);
      else this.#fail(new Error(`a worker ended with exit code ${code}`));
    });
  }
}

/** One node process; what it prints is kept, what it complains about is shown. */
export class BenchProcess {
  readonly lines: string[] = [];
  /** Exit code; null after a signal. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  #rssMaxMb = 0;

  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const child = spawn(process.execPath, args, {
      // The channel lets the engine's processes notice when we are gone, however we ended.
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      env: { ...process.env, ...environment },
    });
    this.#child = child;
    killWithUs.add(child);
    createInterface({ input: child.stdout! }).on("line", (line) => this.lines.push(line));
    this.exited = new Promise((resolve) => {
      child.once("close", (code) => {
        killWithUs.delete(child);
        resolve(code);
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get rssMaxMb(): number {
    return this.#rssMaxMb === 0 ? rssMaxMb(this.pid) : this.#rssMaxMb;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#rssMaxMb = rssMaxMb(this.pid);
    this.#child.kill(signal);
    await this.exited;
  }
}

const killWithUs = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of killWithUs) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

function rssMaxMb(pid: number): number {
  try {
    const kb = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Math.round(Number(kb ?? Number.NaN) / 1024);
  } catch {
    return Number.NaN;
  }
}

const TICKS_PER_SECOND = 100;

function cpuUsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name of the command, in brackets, may hold blanks.
  const [userTicks, systemTicks] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return ((Number(userTicks) + Number(systemTicks)) * 1_000_000) / TICKS_PER_SECOND;
}
