/**
 * What every sink with transactions does (`src/dataflow/sink.ts`), as named cases for any test runner: ours pass them,
 * and a sink of a user's own has to.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import type { Committable, Sink, SinkEnvironment, SinkWriter } from "../dataflow/sink.ts";
import { CommitRefusedError, FencedError, ObjectMissingError, RecordRefusedError } from "../errors.ts";
import { MemoryStaging, prepareTransaction, sinkEnvironment } from "./sink-environment.ts";

/** A sink, and the target that it writes to, which outlives it. */
export interface SinkUnderTest<T> {
  readonly sink: Sink<T>;
  /** What `environment.nats` is. */
  readonly nats?: unknown;
  /** What a reader of the target sees, in the order in which one writer has written it. */
  committed(): Promise<readonly T[]>;
  /** Takes away what the target notes of transactions. Left out: its cases are left out. */
  loseMarkers?(): Promise<void>;
  /** Called at the end of the case. */
  close?(): Promise<void>;
}

export interface SinkSuiteOptions<T> {
  /** Opens a sink on an empty target: each case has its own. */
  open(): Promise<SinkUnderTest<T>>;
  /** A record for each number. */
  record(n: number): T;
  /** Records that `write` must refuse. Default: there are none. */
  readonly refused?: readonly T[];
  /** false: the sink cannot tell output of a job that no record knows. Default true. */
  readonly knowsJobs?: boolean;
}

/** `run` rejects with an AssertionError, or with what the sink threw, where the sink breaks the contract. */
export interface SinkCase {
  readonly name: string;
  run(): Promise<void>;
}

/**
 * The cases, in an order that begins with the simplest. For node:test and vitest alike:
 * `for (const { name, run } of sinkCases({ open, record })) test(name, run);`
 */
export function sinkCases<T>(options: SinkSuiteOptions<T>): SinkCase[] {
  const all: Readonly<Record<string, (at: Stage<T>) => Promise<void>>> = {
    ...transactions,
    ...generations,
    ...((options.refused ?? []).length > 0
      ? { "refuses in `write` what no commit could write (P24)": refuses }
      : {}),
    ...(options.knowsJobs === false
      ? {}
      : { "does not begin where an unknown life of its job has committed (P72)": unknown }),
  };
  return Object.entries(all).map(([name, work]) => ({
    name,
    async run() {
      const under = await options.open();
      const stage = new Stage(under, options);
      try {
        await work(stage);
      } finally {
        await stage.close();
        await under.close?.();
      }
    },
  }));
}

/** One target, and the writers that a case opens on it. */
class Stage<T> {
  readonly under: SinkUnderTest<T>;
  readonly options: SinkSuiteOptions<T>;
  readonly #staging = new MemoryStaging();
  readonly #writers: SinkWriter<T>[] = [];

  constructor(under: SinkUnderTest<T>, options: SinkSuiteOptions<T>) {
    this.under = under;
    this.options = options;
  }

  environment(at: Partial<SinkEnvironment> = {}): SinkEnvironment {
    return sinkEnvironment({ nats: this.under.nats, staging: this.#staging, ...at });
  }

  async open(at: Partial<SinkEnvironment> = {}): Promise<SinkWriter<T>> {
    const writer = await this.under.sink.open(this.environment(at));
    this.#writers.push(writer);
    return writer;
  }

  /** Records `from` to `from + count - 1`. */
  records(from: number, count: number): T[] {
    return Array.from({ length: count }, (_, i) => this.options.record(from + i));
  }

  prepare(writer: SinkWriter<T>, id: number, from: number, count: number): Promise<Committable> {
    return prepareTransaction(writer, id, this.records(from, count));
  }

  /** Exactly these records are visible, in this order. */
  async shows(...parts: readonly (readonly T[])[]): Promise<void> {
    deepStrictEqual([...(await this.under.committed())], parts.flat());
  }

  async close(): Promise<void> {
    for (const writer of this.#writers) await writer.close();
  }
}

type Case = <T>(stage: Stage<T>) => Promise<void>;

const transactions: Readonly<Record<string, Case>> = {
  async "accepts its target"(stage) {
    await stage.under.sink.check(stage.environment());
  },

  async "shows a transaction only when it is committed, and then whole and in order"(stage) {
    const writer = await stage.open();
    const transaction = await stage.prepare(writer, 1, 0, 10);
    await stage.shows();
    await writer.commit(transaction);
    await stage.shows(stage.records(0, 10));
  },

  async "makes no transaction of nothing"(stage) {
    strictEqual((await stage.open()).cut(1), undefined);
  },

  async "changes nothing when it commits again, also behind a later transaction (C3)"(stage) {
    const writer = await stage.open();
    const first = await stage.prepare(writer, 1, 0, 4);
    const second = await stage.prepare(writer, 3, 4, 2);
    for (const transaction of [first, first, second, first, second]) await writer.commit(transaction);
    await stage.shows(stage.records(0, 6));
  },

  async "keeps the transaction of an aborted checkpoint, which is committed before the next one (P4, P14)"(
    stage,
  ) {
    const writer = await stage.open();
    const aborted = await stage.prepare(writer, 1, 0, 4);
    const completed = await stage.prepare(writer, 2, 4, 4);
    await writer.commit(aborted);
    await writer.commit(completed);
    await stage.shows(stage.records(0, 8));
  },

  async "commits what an older generation has prepared, once (P17)"(stage) {
    const first = await stage.open();
    const one = await stage.prepare(first, 1, 0, 7);
    const two = await stage.prepare(first, 2, 7, 7);
    await first.commit(one);
    await first.close();
    const second = await stage.open({
      generation: 2,
      restoredCheckpointId: 2,
      restoredState: first.snapshot(),
    });
    for (const transaction of [one, two]) await second.commit(transaction);
    await second.commit(await stage.prepare(second, 3, 14, 2));
    await stage.shows(stage.records(0, 16));
  },
};

const generations: Readonly<Record<string, Case>> = {
  async "lets no zombie commit behind a newer generation (P23, C5)"(stage) {
    const zombie = await stage.open();
    const transaction = await stage.prepare(zombie, 1, 0, 4);
    const restored = { restoredCheckpointId: 1, restoredState: zombie.snapshot() };
    const heir = await stage.open({ generation: 2, ...restored });
    await rejects(zombie.commit(transaction), FencedError);
    await stage.shows();
    await heir.commit(transaction);
    await rejects(zombie.commit(transaction), FencedError);
    await stage.shows(stage.records(0, 4));
  },

  async "does not open behind a newer generation (C5)"(stage) {
    await stage.open({ generation: 2 });
    await rejects(stage.open({ generation: 1 }), FencedError);
  },

  async "commits for a writer that is gone, when the job has fewer subtasks (P23)"(stage) {
    const gone = await stage.open({ subtaskIndex: 1, parallelism: 2 });
    const transaction = await stage.prepare(gone, 1, 0, 4);
    const heir = await stage.open({ generation: 2, restoredCheckpointId: 1 });
    await heir.commit(transaction);
    await heir.commit(transaction);
    await rejects(gone.commit(transaction), FencedError);
    await stage.shows(stage.records(0, 4));
  },

  async "is not stopped by what another life of the job has left (P1)"(stage) {
    const old = await stage.open({ generation: 7 });
    await old.commit(await stage.prepare(old, 9, 0, 2));
    const fresh = await stage.open({ incarnation: "life2", generation: 1 });
    await fresh.commit(await stage.prepare(fresh, 1, 2, 2));
    const found = await stage.under.committed();
    const sorted = (records: readonly unknown[]) => records.map((record) => JSON.stringify(record)).sort();
    deepStrictEqual(sorted(found), sorted(stage.records(0, 4)));
  },

  async "stops the job by name when its marker is missing (P22)"(stage) {
    if (stage.under.loseMarkers === undefined) return;
    const first = await stage.open();
    await first.commit(await stage.prepare(first, 1, 0, 2));
    const restored = { generation: 2, restoredCheckpointId: 1, restoredState: first.snapshot() };
    await first.close();
    await stage.under.loseMarkers();
    const error = await failure(stage.open(restored));
    ok(error instanceof ObjectMissingError, `${error}`);
    match(error.message, /marker .* is missing/);
  },

  async "stops the job when its marker is beyond the restored checkpoint (P20)"(stage) {
    const first = await stage.open();
    const restoredState = first.snapshot();
    await first.commit(await stage.prepare(first, 5, 0, 2));
    const error = await failure(stage.open({ generation: 2, restoredCheckpointId: 4, restoredState }));
    ok(error instanceof CommitRefusedError, `${error}`);
    match(error.message, /beyond the restored checkpoint 4/);
  },

  async "stops the job when its target was set back (P6)"(stage) {
    const first = await stage.open();
    await first.commit(await stage.prepare(first, 1, 0, 2));
    const restoredState = { markerExists: true, checkpointId: 3 };
    const error = await failure(stage.open({ generation: 2, restoredCheckpointId: 3, restoredState }));
    match(String(error), /was set back/);
  },

  async "stops the job when its generation has another nonce (P6)"(stage) {
    await stage.open({ nonce: "one" });
    match(String(await failure(stage.open({ nonce: "two" }))), /another nonce/);
  },
};

async function refuses<T>(stage: Stage<T>): Promise<void> {
  const writer = await stage.open();
  writer.write(stage.options.record(0), 0);
  for (const record of stage.options.refused ?? []) throws(() => writer.write(record, 0), RecordRefusedError);
  await writer.commit(await stage.prepare(writer, 1, 1, 1));
  await stage.shows(stage.records(0, 2));
}

async function unknown<T>(stage: Stage<T>): Promise<void> {
  const asked = { incarnation: "life2", unrecorded: "tidemark-jobs" };
  const check = (at: Partial<SinkEnvironment> = {}) =>
    stage.under.sink.check(stage.environment({ ...asked, dryRun: true, ...at }));
  const old = await stage.open();
  // A writer that was opened has left a marker, and nothing that could be written twice.
  await check();
  await old.commit(await stage.prepare(old, 9, 0, 2));
  const error = await failure(check());
  strictEqual((error as Error).name, "RequestRefusedError");
  match(
    String(error),
    /holds output of job contract \(incarnation life1, committed up to transaction 9\).*KV bucket tidemark-jobs.*stream KV_tidemark-jobs back from a backup.*--fresh/,
  );
  match(String(await failure(check({ dryRun: undefined as never }))), /holds output of job contract/);
  await check({ job: "another" });
  await check({ unrecorded: undefined });
}

/** @throws AssertionError when it does not reject */
async function failure(work: Promise<unknown>): Promise<unknown> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  ok(outcome !== undefined, "it was to be refused");
  return outcome.error;
}
