/**
 * What every transactional sink must do, whatever it writes to. One suite, run on each implementation by
 * sink.test.ts; a difference is a named skip with a reason.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ObjectHandle } from "../../../src/checkpoint/storage.ts";
import { systemClock } from "../../../src/clock.ts";
import type { Logger } from "../../../src/dataflow/connector.ts";
import type {
  Committable,
  InheritedFrom,
  Sink,
  SinkEnvironment,
  SinkWriter,
  StagingArea,
} from "../../../src/dataflow/sink.ts";
import {
  CommitRefusedError,
  FencedError,
  ObjectMissingError,
  RecordRefusedError,
  retryOf,
} from "../../../src/errors.ts";
import { Troubles } from "../../../src/observe/troubles.ts";

/** What happens to one call to the target. */
export type Fault =
  | "none"
  | "request lost"
  | "answer lost"
  | "crash before"
  | "crash after"
  /** The caller is dead, but its request is still on the way and arrives when another generation is at work. */
  | "crash, arrives late";

export const anyFault = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Fault>("none") },
  { weight: 2, arbitrary: fc.constantFrom<Fault>("request lost", "answer lost") },
  { weight: 2, arbitrary: fc.constantFrom<Fault>("crash before", "crash after", "crash, arrives late") },
);

/** Decides the fate of each call; after a crash no call ever settles. */
export class FaultPlan {
  readonly #faults: Fault[];
  readonly crashed: Promise<"crashed">;
  /** Settles when nothing is on the way any more. */
  late: Promise<void> = Promise.resolve();
  #crash: (value: "crashed") => void = () => {};
  #isDead = false;

  constructor(faults: readonly Fault[]) {
    this.#faults = [...faults];
    this.crashed = new Promise((resolve) => {
      this.#crash = resolve;
    });
  }

  /** Counts from now on: the call after these is the last one. */
  dieAfter(calls: number): void {
    this.#faults.push(...Array<Fault>(calls).fill("none"), "crash after");
  }

  async call<R>(perform: () => Promise<R>): Promise<R> {
    if (this.#isDead) return new Promise(() => {});
    const fault = this.#faults.shift() ?? "none";
    if (fault === "crash before") return this.#die();
    if (fault === "crash, arrives late") {
      const late = new Promise((resolve) => setTimeout(resolve, Math.random() * 15)).then(perform);
      this.late = late.then(
        () => {},
        () => {},
      );
      return this.#die();
    }
    if (fault === "request lost") throw new Error("the request was lost");
    const answer = await perform();
    if (fault === "crash after") return this.#die();
    if (fault === "answer lost") throw new Error("the answer was lost");
    return answer;
  }

  #die(): Promise<never> {
    this.#isDead = true;
    this.#crash("crashed");
    return new Promise(() => {});
  }
}

export interface SinkFixture {
  /** The sink; a target that has parts cuts them after `partMessages` records. */
  readonly sink: Sink<string>;
  readonly nats: unknown;
  /** The same target through calls that may fail. `nats` replaces the fixture's, where faults are injected there. */
  faulty(plan: FaultPlan): { sink: Sink<string>; nats?: unknown };
  /** What a reader of the target sees, in order. */
  committed(): Promise<string[]>;
  /**
   * Takes the last of what the transaction has staged away, and answers how to bring it back. undefined: it stages
   * nothing.
   */
  readonly loseStaged?: (transaction: Committable, staging: MemoryStaging) => Promise<() => Promise<void>>;
  loseMarkers(): Promise<void>;
  stop(): Promise<void>;
}

export interface SinkContract {
  readonly name: string;
  readonly runs: number;
  fixture(): Promise<SinkFixture>;
  /** Records that `write` must refuse. */
  readonly refused: readonly string[];
  /** true: records of jobs live and end with the target. */
  readonly recordsAreThere?: true;
  /** Part of what a transaction has staged can be missing: it is more than one object that is more than one part. */
  readonly stagesParts?: true;
  /** A commit of many records while the target goes away and comes back. undefined: the target cannot. */
  readonly outage?: () => Promise<void>;
}

export const partMessages = 3;

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export class MemoryStaging implements StagingArea {
  readonly objects = new Map<string, Uint8Array>();
  delayMs = 0;

  async put(content: Uint8Array): Promise<ObjectHandle> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    const name = `staged/${this.objects.size}`;
    this.objects.set(name, Uint8Array.from(content));
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    return { name, bytes: content.length, digest };
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const found = this.objects.get(handle.name);
    if (found === undefined) throw new ObjectMissingError(handle.name, `${handle.name} is missing`);
    return found;
  }

  async assertPresent(handles: readonly ObjectHandle[]): Promise<void> {
    for (const handle of handles) await this.get(handle);
  }

  /** Answers how to bring it back. */
  async lose(handle: ObjectHandle): Promise<() => Promise<void>> {
    const content = await this.get(handle);
    this.objects.delete(handle.name);
    return async () => void this.objects.set(handle.name, content);
  }
}

export function sinkEnvironment(at: Partial<SinkEnvironment>): SinkEnvironment {
  const generation = at.generation ?? 1;
  return {
    job: "contract",
    logger: silent,
    troubles: new Troubles(systemClock),
    signal: new AbortController().signal,
    nats: undefined,
    incarnation: "life1",
    generation,
    nonce: `nonce${generation}`,
    operator: "out",
    subtaskIndex: 0,
    parallelism: 1,
    fail(error) {
      throw error;
    },
    staging: new MemoryStaging(),
    restoredCheckpointId: 0,
    restoredState: undefined,
    ...at,
  };
}

/** Writes the records and cuts them as transaction `checkpointId`; plain data, as if it came out of a manifest. */
export async function prepare(
  writer: SinkWriter<string>,
  checkpointId: number,
  records: readonly string[],
): Promise<Committable> {
  for (const record of records) writer.write(record, 0);
  const transaction = writer.cut(checkpointId);
  if (transaction === undefined) throw new Error("nothing was cut");
  return JSON.parse(JSON.stringify(await transaction.prepared())) as Committable;
}

/** Commits as the engine does: again and again unless the error says that it makes no sense. */
export async function commitUntilDone(
  writer: SinkWriter<string>,
  transaction: Committable,
  inheritedFrom?: InheritedFrom,
): Promise<void> {
  for (;;) {
    try {
      return await writer.commit(transaction, inheritedFrom);
    } catch (error) {
      if (retryOf(error) === "never") throw error;
    }
  }
}

export function records(label: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${label}-${i}`);
}

export function sinkContract(contract: SinkContract): void {
  describe(`sink contract: ${contract.name}`, () => {
    let fixture: SinkFixture;
    let staging: MemoryStaging;

    beforeEach(async () => {
      fixture = await contract.fixture();
      staging = new MemoryStaging();
    });
    afterEach(async () => {
      await fixture.stop();
    });

    const open = (at: Partial<SinkEnvironment>) =>
      fixture.sink.open(sinkEnvironment({ nats: fixture.nats, staging, ...at }));

    test("check accepts the target", async () => {
      await fixture.sink.check(sinkEnvironment({ nats: fixture.nats }));
    });

    test("a transaction is visible only after its commit, and then whole and in order", async () => {
      const writer = await open({});
      const written = records("a", 10);
      const transaction = await prepare(writer, 1, written);
      expect(await fixture.committed()).toEqual([]);
      await writer.commit(transaction);
      expect(await fixture.committed()).toEqual(written);
      await writer.close();
    });

    test("a cut of nothing is no transaction", async () => {
      const writer = await open({});
      expect(writer.cut(1)).toBeUndefined();
      await writer.close();
    });

    test("committing again changes nothing, also after a later transaction (C3)", async () => {
      const writer = await open({});
      const first = await prepare(writer, 1, records("a", 4));
      const second = await prepare(writer, 3, records("b", 2));
      await writer.commit(first);
      await writer.commit(first);
      await writer.commit(second);
      await writer.commit(first);
      await writer.commit(second);
      expect(await fixture.committed()).toEqual([...records("a", 4), ...records("b", 2)]);
      await writer.close();
    });

    test("the transaction of an aborted checkpoint commits with the next completed one, before it (P4, P14)", async () => {
      const writer = await open({});
      const aborted = await prepare(writer, 1, records("a", 4));
      const completed = await prepare(writer, 2, records("b", 4));
      await writer.commit(aborted);
      await writer.commit(completed);
      expect(await fixture.committed()).toEqual([...records("a", 4), ...records("b", 4)]);
      await writer.close();
    });

    test("a zombie cannot commit after a newer generation has opened (P23, C5)", async () => {
      const zombie = await open({});
      const transaction = await prepare(zombie, 1, records("a", 4));
      const state = zombie.snapshot();
      const heir = await open({ generation: 2, restoredCheckpointId: 1, restoredState: state });
      await expect(zombie.commit(transaction)).rejects.toThrow(FencedError);
      expect(await fixture.committed()).toEqual([]);
      await heir.commit(transaction);
      await expect(zombie.commit(transaction)).rejects.toThrow(FencedError);
      expect(await fixture.committed()).toEqual(records("a", 4));
      await zombie.close();
      await heir.close();
    });

    test("an older generation cannot open after a newer one (C5)", async () => {
      const heir = await open({ generation: 2 });
      await expect(open({ generation: 1 })).rejects.toThrow(FencedError);
      await heir.close();
    });

    test("a new generation commits what an older one prepared, once (P17)", async () => {
      const first = await open({});
      const one = await prepare(first, 1, records("a", 7));
      const two = await prepare(first, 2, records("b", 7));
      await first.commit(one);
      await first.close();
      const second = await open({ generation: 2, restoredCheckpointId: 2, restoredState: first.snapshot() });
      await second.commit(one);
      await second.commit(two);
      const three = await prepare(second, 3, records("c", 2));
      await second.commit(three);
      expect(await fixture.committed()).toEqual([...records("a", 7), ...records("b", 7), ...records("c", 2)]);
      await second.close();
    });

    /** Large enough to be staged as several objects. */
    const large = (label: string) => records(label, 30).map((record) => `${record}-${"x".repeat(100_000)}`);

    test("a transaction that has lost what it staged: nothing of it is committed, and the job stops by name (P45)", async (context) => {
      const { loseStaged } = fixture;
      if (loseStaged === undefined) return context.skip("it stages nothing");
      const first = await open({});
      const state = first.snapshot();
      const transaction = await prepare(first, 1, large("a"));
      await first.close();
      const bringBack = await loseStaged(transaction, staging);
      for (let generation = 2; generation < 4; generation++) {
        const heir = await open({ generation, restoredCheckpointId: 1, restoredState: state });
        const error = await heir.commit(transaction).catch((thrown: unknown) => thrown);
        expect(retryOf(error)).toBe("never");
        expect(String(error)).toMatch(/transaction 1 of writer 0 of sink out/);
        expect(String(error)).toMatch(/start the job again/);
        expect(await fixture.committed()).toEqual([]);
        await heir.close();
      }
      await bringBack();
      const heir = await open({ generation: 4, restoredCheckpointId: 1, restoredState: state });
      await heir.commit(transaction);
      expect(await fixture.committed()).toEqual(large("a"));
      await heir.close();
    });

    test.skipIf(contract.stagesParts !== true)(
      "one that was committed in part when it lost the rest: the job says how much, and goes on there (P45)",
      async () => {
        const first = await open({});
        const state = first.snapshot();
        const transaction = await prepare(first, 1, large("a"));
        await first.close();
        let generation = 2;
        for (let calls = 1; (await fixture.committed()).length === 0; calls++) {
          const plan = new FaultPlan([...Array<Fault>(calls).fill("none"), "crash after"]);
          const { sink, nats } = fixture.faulty(plan);
          const restored = { generation: generation++, restoredCheckpointId: 1, restoredState: state };
          const environment = sinkEnvironment({ nats: nats ?? fixture.nats, staging, ...restored });
          await Promise.race([restoreAndCommit(sink, environment, [transaction]), plan.crashed]);
        }
        const already = (await fixture.committed()).length;
        expect(already).toBeLessThan(30);
        const bringBack = await fixture.loseStaged!(transaction, staging);
        const restored = { restoredCheckpointId: 1, restoredState: state };
        const stopped = await open({ generation: generation++, ...restored });
        await expect(stopped.commit(transaction)).rejects.toThrow(
          `Of its 30 records the first ${already} are committed already`,
        );
        expect(await fixture.committed()).toEqual(large("a").slice(0, already));
        await stopped.close();
        await bringBack();
        const heir = await open({ generation, ...restored });
        await heir.commit(transaction);
        expect(await fixture.committed()).toEqual(large("a"));
        await heir.close();
      },
    );

    test("after a rescale another subtask commits the transactions of a writer that is gone (P23)", async () => {
      const gone = await open({ subtaskIndex: 1, parallelism: 2 });
      const transaction = await prepare(gone, 1, records("a", 4));
      const heir = await open({ generation: 2, restoredCheckpointId: 1 });
      await heir.commit(transaction);
      await heir.commit(transaction);
      await expect(gone.commit(transaction)).rejects.toThrow(FencedError);
      expect(await fixture.committed()).toEqual(records("a", 4));
      await gone.close();
      await heir.close();
    });

    test("another life of the job is not stopped by old markers (P1)", async () => {
      const old = await open({ generation: 7 });
      await old.commit(await prepare(old, 9, records("a", 2)));
      await old.close();
      const fresh = await open({ incarnation: "life2", generation: 1 });
      await fresh.commit(await prepare(fresh, 1, records("b", 2)));
      expect((await fixture.committed()).sort()).toEqual([...records("a", 2), ...records("b", 2)]);
      await fresh.close();
    });

    test.skipIf(contract.recordsAreThere === true)(
      "a job that no record knows does not begin where one of its name has committed (P72)",
      async () => {
        const asked = { nats: fixture.nats, incarnation: "life2", unrecorded: "tidemark-jobs" };
        const check = (at: Partial<SinkEnvironment> = {}) =>
          fixture.sink.check(sinkEnvironment({ ...asked, dryRun: true, ...at }));
        const old = await open({});
        // An opened writer has left a marker, and nothing that could be written twice.
        await check();
        await old.commit(await prepare(old, 9, records("a", 2)));
        await old.close();
        await expect(check()).rejects.toMatchObject({
          name: "RequestRefusedError",
          message: expect.stringMatching(
            /holds output of job contract \(incarnation life1, committed up to transaction 9\).*KV bucket tidemark-jobs.*stream KV_tidemark-jobs back from a backup.*--fresh/,
          ),
        });
        await expect(check({ dryRun: undefined as never })).rejects.toThrow(/holds output of job contract/);
        await check({ job: "another" });
        await check({ unrecorded: undefined });
      },
    );

    test("a marker that is missing stops the job by name (P22)", async () => {
      const first = await open({});
      const transaction = await prepare(first, 1, records("a", 2));
      await first.commit(transaction);
      const state = first.snapshot();
      await first.close();
      await fixture.loseMarkers();
      const opened = open({ generation: 2, restoredCheckpointId: 1, restoredState: state });
      await expect(opened).rejects.toThrow(ObjectMissingError);
      await expect(opened).rejects.toThrow(/marker .* is missing/);
    });

    test("a marker beyond the restored checkpoint stops the job (P20)", async () => {
      const first = await open({});
      const state = first.snapshot();
      await first.commit(await prepare(first, 5, records("a", 2)));
      await first.close();
      const opened = open({ generation: 2, restoredCheckpointId: 4, restoredState: state });
      await expect(opened).rejects.toThrow(CommitRefusedError);
      await expect(opened).rejects.toThrow(/beyond the restored checkpoint 4/);
    });

    test("a target that was set back stops the job (P6)", async () => {
      const first = await open({});
      await first.commit(await prepare(first, 1, records("a", 2)));
      await first.close();
      const seenLater = { markerExists: true, checkpointId: 3 };
      const opened = open({ generation: 2, restoredCheckpointId: 3, restoredState: seenLater });
      await expect(opened).rejects.toThrow(/was set back/);
    });

    test("the same generation under another nonce stops the job (P6)", async () => {
      const first = await open({ nonce: "one" });
      await first.close();
      await expect(open({ nonce: "two" })).rejects.toThrow(/another nonce/);
    });

    test.skipIf(contract.refused.length === 0)("write refuses what no commit could write (P24)", async () => {
      const writer = await open({});
      writer.write("good-0", 0);
      for (const record of contract.refused) {
        expect(() => writer.write(record, 0), record.slice(0, 40)).toThrow(RecordRefusedError);
      }
      await writer.commit(await prepare(writer, 1, ["good-1"]));
      expect(await fixture.committed()).toEqual(["good-0", "good-1"]);
      await writer.close();
    });

    test.skipIf(contract.outage === undefined)(
      "an outage in the middle of commits leaves each once (P8)",
      async () => {
        const writer = await open({});
        const transactions: Committable[] = [];
        for (let id = 1; id <= 6; id += 1)
          transactions.push(await prepare(writer, id, records(`t${id}`, 60)));
        const away = new Promise((resolve) => setTimeout(resolve, 25)).then(contract.outage);
        for (const transaction of transactions) await commitUntilDone(writer, transaction);
        await away;
        expect(await fixture.committed()).toEqual([1, 2, 3, 4, 5, 6].flatMap((id) => records(`t${id}`, 60)));
        await writer.close();
      },
    );

    test("whatever call fails or crashes, each transaction is committed once and in order (C3)", async () => {
      const lives = fc.array(fc.array(anyFault, { maxLength: 14 }), { minLength: 1, maxLength: 4 });
      const sizes = fc.array(fc.integer({ min: 1, max: 11 }), { minLength: 1, maxLength: 3 });
      let life = 0;
      const property = fc.asyncProperty(lives, sizes, async (plans, counts) => {
        life += 1;
        const incarnation = `random${life}`;
        const label = `r${life}`;
        const writer = await open({ incarnation });
        const transactions: Committable[] = [];
        for (const [index, count] of counts.entries()) {
          transactions.push(await prepare(writer, index + 1, records(`${label}t${index + 1}`, count)));
        }
        const restored = { restoredCheckpointId: counts.length, restoredState: writer.snapshot() };
        await writer.close();
        let generation = 1;
        let late = Promise.resolve();
        for (const faults of [...plans, []]) {
          generation += 1;
          const plan = new FaultPlan(faults);
          const target = fixture.faulty(plan);
          const environment = sinkEnvironment({
            nats: target.nats ?? fixture.nats,
            staging,
            incarnation,
            generation,
            ...restored,
          });
          await Promise.race([restoreAndCommit(target.sink, environment, transactions), plan.crashed]);
          const { late: onTheWay } = plan;
          late = late.then(() => onTheWay);
        }
        await late;
        const written = (await fixture.committed()).filter((record) => record.startsWith(`${label}t`));
        expect(written).toEqual(counts.flatMap((count, index) => records(`${label}t${index + 1}`, count)));
      });
      await fc.assert(property, { numRuns: contract.runs });
    });
  });
}

async function restoreAndCommit(
  sink: Sink<string>,
  environment: SinkEnvironment,
  transactions: readonly Committable[],
): Promise<void> {
  const writer = await openUntilDone(sink, environment);
  for (const transaction of transactions) await commitUntilDone(writer, transaction);
  await writer.close();
}

export async function openUntilDone(
  sink: Sink<string>,
  environment: SinkEnvironment,
): Promise<SinkWriter<string>> {
  for (;;) {
    try {
      return await sink.open(environment);
    } catch (error) {
      // check() and open() report a target that does not answer as the environment's fault; here it is only the plan's.
      const isInjected = /was lost/.test(String(error)) || /was lost/.test(String((error as Error).cause));
      if (!isInjected) throw error;
    }
  }
}
