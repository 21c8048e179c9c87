/**
 * What every transactional sink must do, whatever it writes to. One suite, run on each implementation by
 * sink.test.ts; a difference is a named skip with a reason.
 */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type {
  Committable,
  InheritedFrom,
  Sink,
  SinkEnvironment,
  SinkWriter,
} from "../../../src/dataflow/sink.ts";
import { retryOf } from "../../../src/errors.ts";
import { MemoryStaging, prepareTransaction, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { sinkCases } from "../../../src/testing/sink-suite.ts";

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

    for (const { name, run } of sinkCases<string>({
      open: async () => fixture,
      record: (n) => `record-${n}`,
      refused: contract.refused,
      knowsJobs: contract.recordsAreThere !== true,
    }))
      test(name, run);

    /** Large enough to be staged as several objects. */
    const large = (label: string) => records(label, 30).map((record) => `${record}-${"x".repeat(100_000)}`);

    test("a transaction that has lost what it staged: nothing of it is committed, and the job stops by name (P45)", async (context) => {
      const { loseStaged } = fixture;
      if (loseStaged === undefined) return context.skip("it stages nothing");
      const first = await open({});
      const state = first.snapshot();
      const transaction = await prepareTransaction(first, 1, large("a"));
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
        const transaction = await prepareTransaction(first, 1, large("a"));
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

    test.skipIf(contract.outage === undefined)(
      "an outage in the middle of commits leaves each once (P8)",
      async () => {
        const writer = await open({});
        const transactions: Committable[] = [];
        for (let id = 1; id <= 6; id += 1)
          transactions.push(await prepareTransaction(writer, id, records(`t${id}`, 60)));
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
          transactions.push(
            await prepareTransaction(writer, index + 1, records(`${label}t${index + 1}`, count)),
          );
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
