/**
 * A job in memory for its own tests: no server, no worker, one subtask for each operator, and time that only the test
 * moves.
 *
 * Owns: what a test can do, which vertex has its turn, what has come out. Does not own: one vertex (vertex-run.ts),
 * what operators do (dataflow/).
 *
 * - HN1 The job is the one that runs: its operators, chains and edges, with parallelism 1. Sources are not opened, and
 *   what the test pushes takes their place; sinks are not opened, and what would be written is kept.
 * - HN2 When a call has resolved, all that it causes has been done, but for requests without their answers.
 */

import type { GraphPlan } from "../../machines/protocol.ts";
import { resolveJobConfig } from "../config/job-config.ts";
import { checkMembers } from "../config/members.ts";
import { show } from "../config/quantity.ts";
import { didYouMean } from "../config/suggestion.ts";
import type { JobGraph } from "../dataflow/graph.ts";
import type { OperatorDetails } from "../dataflow/operators/contract.ts";
import { failureOf } from "../dataflow/operators/failure.ts";
import { Combiner } from "../dataflow/operators/keyed/combine.ts";
import { NO_TIMESTAMP } from "../dataflow/source.ts";
import { DEFAULT_INTERVAL_MS, SourceTime } from "../dataflow/time/source-time.ts";
import { describeNoTime, isTime } from "../dataflow/time/times.ts";
import { ConfigurationError, OperatorError } from "../errors.ts";
import { buildGraph } from "../job/graph.ts";
import { Job } from "../job/job.ts";
import { planOf } from "../job/plan.ts";
import { windowMigrations } from "../job/restore/window-migrations.ts";
import { HarnessClock } from "./harness-clock.ts";
import { pendingOf } from "./pending.ts";
import { withReadTags } from "./read-tags.ts";
import { checkRestore } from "./restored.ts";
import { type StoredVertex, tellsTime, VertexRun } from "./vertex-run.ts";

/** A record that has come out, with its event time in ms; -Infinity: it has none. */
export interface TimedRecord<T = unknown> {
  readonly value: T;
  readonly timestamp: number;
}

/** What a harness holds at one moment; only another harness reads it. */
export interface HarnessSnapshot {
  readonly job: string;
  readonly nowMs: number;
  readonly plan: GraphPlan;
  readonly vertices: Readonly<Record<string, StoredVertex>>;
}

export interface TestHarnessOptions {
  /** The harness goes on from there, with the same job or a changed one. Default: the job begins. */
  readonly restore?: HarnessSnapshot | undefined;
  /** The wall clock at the beginning, in ms since 1970. Default: that of the snapshot, or 0. */
  readonly nowMs?: number | undefined;
}

/** Turns of the event loop without anything to do, after which requests are taken to wait for time or the outside. */
const QUIET_TURNS = 3;

/**
 * Opens a job for a test. The functions' `open` runs here.
 *
 * @throws ConfigurationError when the job cannot be built, an option means nothing, or the snapshot is not one of this
 *   job
 */
export async function createTestHarness(job: Job, options: TestHarnessOptions = {}): Promise<TestHarness> {
  if (!(job instanceof Job))
    refuse("job", `createTestHarness: a job is needed, what defineJob answers; got ${show(job)}`);
  checkMembers(options, ["restore", "nowMs"], "createTestHarness", "option");
  const { restore, nowMs = restore?.nowMs ?? 0 } = options;
  if (!isTime(nowMs)) refuse("nowMs", `createTestHarness: nowMs is ${describeNoTime(nowMs)}`);
  if (restore !== undefined && restore.job !== job.name)
    refuse("restore", `restore: the snapshot is one of job "${restore.job}", and this is job "${job.name}"`);
  const harness = new TestHarness(job, nowMs);
  try {
    await harness.open(restore);
  } catch (error) {
    await harness.close().catch(() => {});
    throw error;
  }
  return harness;
}

export class TestHarness {
  readonly #clock: HarnessClock;
  readonly #runs = new Map<string, VertexRun>();
  readonly #times = new Map<string, SourceTime>();
  readonly #details: ReadonlyMap<string, OperatorDetails>;
  readonly #job: Job;
  /** By sink, and by side output. */
  readonly #out = new Map<string, TimedRecord[]>();
  readonly #plan: GraphPlan;
  readonly #end = new AbortController();
  #failure: unknown;

  /** Tests call `createTestHarness`. */
  constructor(job: Job, nowMs: number) {
    this.#job = job;
    this.#clock = new HarnessClock(nowMs);
    this.#details = new Map(job.operators.map(({ definition: { id, details } }) => [id, details]));
    const single = new Job(
      job.name,
      job.options,
      job.operators.map((operator) => ({ ...operator, parallelism: 1 })),
    );
    const asItIs = buildGraph(single, resolveJobConfig(job.options).config);
    this.#plan = planOf(asItIs);
    const { graph, tags } = withReadTags(asItIs);
    const edges = new Map(graph.edges.map((edge) => [edge.id, edge]));
    const combiners = combinersOf(graph);
    const sendersOf = (vertex: string) => graph.edges.filter((edge) => edge.to === vertex && tellsTime(edge));
    const portsOf = (vertex: string) => {
      const ports = sendersOf(vertex).map(({ port }) => port);
      return ports.length === 0 ? [0] : ports;
    };
    const placeOf = (id: string) => {
      const edge = edges.get(id);
      if (edge === undefined || !tellsTime(edge)) return undefined;
      return { run: this.#runs.get(edge.to)!, sender: sendersOf(edge.to).indexOf(edge) };
    };
    for (const vertex of graph.vertices)
      this.#runs.set(
        vertex.id,
        new VertexRun(vertex, portsOf(vertex.id), {
          maxParallelism: graph.maxParallelism,
          clock: this.#clock,
          output: (id, value, timestamp) => {
            const edge = edges.get(id);
            if (edge === undefined) this.#keep(tags.get(id)!, value, timestamp);
            else {
              // A record that is fed back has no sender in event time.
              const sender = sendersOf(edge.to).indexOf(edge);
              const { port } = edge;
              const carried = combiners.get(id)?.alone(value) ?? value;
              this.#runs.get(edge.to)!.arrive({ kind: "record", sender, port, value: carried, timestamp });
            }
          },
          mark: (id, watermark, isIdle) => {
            const to = placeOf(id);
            to?.run.arrive({ kind: "mark", sender: to.sender, watermark, isIdle });
          },
          end: (id) => {
            const to = placeOf(id);
            to?.run.arrive({ kind: "end", sender: to.sender });
          },
          written: (sink, value, timestamp) => this.#keep(sink, value, timestamp),
        }),
      );
    for (const [id, { source, eventTime }] of this.#details)
      if (source !== undefined)
        this.#times.set(
          id,
          new SourceTime(id, eventTime ?? { intervalMs: DEFAULT_INTERVAL_MS }, [undefined]),
        );
  }

  /** Called by `createTestHarness`. */
  async open(restore: HarnessSnapshot | undefined): Promise<void> {
    for (const id of Object.keys(restore?.vertices ?? {}))
      if (!this.#runs.has(id))
        refuse(
          "restore",
          `restore: the snapshot holds operator "${id}", which this job runs otherwise or not`,
        );
    const migrations = restore && windowMigrations(restore.plan, this.#plan, []);
    if (restore !== undefined) checkRestore(restore, this.#plan, migrations!);
    for (const [id, run] of this.#runs) {
      const stored = restore?.vertices[id];
      await run.open(stored && { ...stored, migrations: migrations! }, this.#end.signal);
    }
    await this.settle();
  }

  /** The wall clock of the job, in ms since 1970. */
  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /**
   * Gives a record to the job as if the source had read it.
   *
   * @param given the timestamp that the source itself would give. The job's `timestamp` option decides, as always.
   * Default: none
   */
  async push(source: string, value: unknown, given = NO_TIMESTAMP): Promise<void> {
    const run = this.#openSource(source, "push");
    if (!isTime(given) && given !== NO_TIMESTAMP)
      refuse(source, `push to source "${source}": the timestamp is ${describeNoTime(given)}`);
    const timestamp = this.#guarded(() => this.#timestampOf(source, value, given));
    const { maxAhead } = this.#details.get(source)!.eventTime ?? {};
    const limit = maxAhead === undefined ? Number.POSITIVE_INFINITY : this.nowMs + maxAhead.byMs;
    const isAside = timestamp > limit && maxAhead?.beyond === "sideOutput";
    const kept = isAside ? timestamp : Math.min(timestamp, limit);
    run.arrive({ kind: "record", sender: 0, port: isAside ? 1 : 0, value, timestamp: kept });
    await this.settle();
  }

  /** Event time of the source has come to `time`, a whole number of ms. The job's own watermarks are not asked. */
  async watermark(source: string, time: number): Promise<void> {
    const run = this.#openSource(source, "watermark");
    if (!isTime(time)) refuse(source, `watermark of source "${source}" is ${describeNoTime(time)}`);
    if (time < run.watermark)
      refuse(
        source,
        `watermark of source "${source}": ${time} lies behind ${run.watermark}, and event time never goes back`,
      );
    run.arrive({ kind: "mark", sender: 0, watermark: time, isIdle: false });
    await this.settle();
  }

  /** The source holds event time back no more, until it has a record or a watermark again. */
  async idle(source: string): Promise<void> {
    const run = this.#openSource(source, "idle");
    run.arrive({ kind: "mark", sender: 0, watermark: run.watermark, isIdle: true });
    await this.settle();
  }

  /** The input ends: of this source, or of all. What is due at the end of input comes out. */
  async end(source?: string): Promise<void> {
    const sources = source === undefined ? [...this.#times.keys()] : [source];
    for (const one of sources) {
      if (source === undefined && this.#sourceRun(one).hasEnded) continue;
      this.#openSource(one, "end").arrive({ kind: "end", sender: 0 });
    }
    await this.settle();
  }

  /** The wall clock moves on; what falls due on the way is done at its own time. */
  async advanceClock(ms: number): Promise<void> {
    if (!Number.isSafeInteger(ms) || ms < 0)
      refuse("advanceClock", `advanceClock: a whole number of ms of at least 0 is needed, got ${String(ms)}`);
    const untilMs = this.nowMs + ms;
    for (;;) {
      const runs = [...this.#runs.values()];
      const nextMs = Math.min(untilMs, this.#clock.firstMs, ...runs.map(({ dueMs }) => dueMs));
      this.#clock.moveTo(nextMs);
      this.#guarded(() => {
        for (const run of runs) run.fireProcessingTime(this.nowMs);
      });
      await this.settle();
      const isDue = this.#clock.firstMs <= untilMs || runs.some(({ dueMs }) => dueMs <= untilMs);
      if (this.nowMs >= untilMs && !isDue) return;
    }
  }

  /**
   * Does all that can be done without time and the outside world; each call does so by itself. A test calls it after
   * its stand-in of a service has answered.
   */
  async settle(): Promise<void> {
    this.#guarded(() => this.#run());
    const held = [...this.#runs.values()].flatMap(({ chain }) => chain.held ?? []);
    for (let quiet = 0; quiet < QUIET_TURNS && held.some(({ isEmpty }) => !isEmpty); quiet++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#guarded(() => this.#run())) quiet = -1;
    }
  }

  /** What the job has written to the sink since the last call. */
  output<T = unknown>(sink: string): T[] {
    return this.timedOutput<T>(sink).map(({ value }) => value);
  }

  /** As `output`, with event times. It takes the same records: each is answered once. */
  timedOutput<T = unknown>(sink: string): TimedRecord<T>[] {
    const sinks = this.#namesOf(({ sink }) => sink !== undefined);
    if (!sinks.includes(sink)) refuse(sink, `output: there is no sink "${sink}"${didYouMean(sink, sinks)}`);
    return this.#taken(sink) as TimedRecord<T>[];
  }

  /** What the operator has emitted to the side output since the last call, whether or not the job reads it. */
  sideOutput<T = unknown>(operator: string, tag: string): T[] {
    const operators = this.#namesOf(({ tags = [] }) => tags.length > 0);
    if (!operators.includes(operator))
      refuse(
        operator,
        `sideOutput: there is no operator "${operator}" with side outputs${didYouMean(operator, operators)}`,
      );
    const { tags = [] } = this.#details.get(operator)!;
    if (!tags.includes(tag))
      refuse(
        operator,
        `sideOutput: operator "${operator}" has no side output "${tag}"${didYouMean(tag, tags)}`,
      );
    return this.#taken(`${operator} ${tag}`).map(({ value }) => value as T);
  }

  /** What the job still holds and would do, one line each: timers, open windows, requests, records that wait. */
  pending(): string[] {
    return [...this.#runs.values()].flatMap(pendingOf);
  }

  /** All state, as a checkpoint would hold it. The harness goes on. */
  snapshot(): HarnessSnapshot {
    this.#refuseAfterFailure();
    const vertices = Object.fromEntries([...this.#runs].map(([id, run]) => [id, run.snapshot()]));
    return { job: this.#job.name, nowMs: this.nowMs, plan: this.#plan, vertices };
  }

  /** Ends what is under way, and runs the functions' `close`. */
  async close(): Promise<void> {
    this.#failure ??= new Error("it was closed");
    this.#end.abort();
    for (const { chain } of this.#runs.values()) await chain.close();
  }

  /** Answers whether there was anything to do. */
  #run(): boolean {
    const runs = [...this.#runs.values()];
    let ran = false;
    for (;;) {
      let more = false;
      for (const run of runs) if (run.run()) more = true;
      // What is on its way in a loop comes before the end.
      if (!more) more = runs.some((run) => run.finishIfEnded());
      if (!more) return ran;
      ran = true;
    }
  }

  #guarded<R>(act: () => R): R {
    this.#refuseAfterFailure();
    try {
      return act();
    } catch (error) {
      this.#failure = error;
      if (error instanceof OperatorError && error.key !== undefined)
        error.message += ` (key ${keyInWords(error.key)})`;
      throw error;
    }
  }

  #refuseAfterFailure(): void {
    if (this.#failure === undefined) return;
    const cause = this.#failure;
    const ended = this.#end.signal.aborted ? "was closed" : "has failed";
    throw new Error(`the job ${ended} in this harness; go on with a new one, from a snapshot`, { cause });
  }

  #timestampOf(source: string, value: unknown, given: number): number {
    try {
      return this.#times.get(source)!.timestampOf(value, given);
    } catch (error) {
      throw failureOf(source, error);
    }
  }

  #sourceRun(source: string): VertexRun {
    const sources = [...this.#times.keys()];
    if (!sources.includes(source))
      refuse(source, `there is no source "${source}"${didYouMean(source, sources)}`);
    return this.#runs.get(source)!;
  }

  #openSource(source: string, what: string): VertexRun {
    const run = this.#sourceRun(source);
    if (run.hasEnded) refuse(source, `${what}: source "${source}" has ended`);
    return run;
  }

  #namesOf(fits: (details: OperatorDetails) => boolean): string[] {
    return [...this.#details].filter(([, details]) => fits(details)).map(([id]) => id);
  }

  #keep(name: string, value: unknown, timestamp: number): void {
    const kept = this.#out.get(name);
    if (kept === undefined) this.#out.set(name, [{ value, timestamp }]);
    else kept.push({ value, timestamp });
  }

  #taken(name: string): TimedRecord[] {
    const taken = this.#out.get(name) ?? [];
    this.#out.delete(name);
    return taken;
  }
}

/** What records become in front of the exchanges that combine, by edge. */
function combinersOf({ edges, maxParallelism }: JobGraph): ReadonlyMap<string, Combiner> {
  const combiners = new Map<string, Combiner>();
  for (const { id, to, partitioner } of edges)
    if (partitioner.kind === "hash" && partitioner.combine !== undefined)
      combiners.set(id, new Combiner(to, partitioner.key, partitioner.combine, maxParallelism));
  return combiners;
}

/** Tests hold no data of users, so here the key may be shown. */
function keyInWords(key: NonNullable<OperatorError["key"]>): string {
  if (typeof key === "string") return JSON.stringify(key);
  return typeof key === "bigint" ? `${key}n` : String(key);
}

function refuse(key: string, message: string): never {
  throw new ConfigurationError(key, message);
}
