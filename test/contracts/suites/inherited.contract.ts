/**
 * What every transactional sink must do with a transaction that it has inherited: another life of the job, restored
 * from a savepoint, commits it, while the job that wrote it may still be at it (P4). Run on each implementation by
 * sink.test.ts.
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
import { CommitRefusedError, MarkerMovedError, ObjectMissingError } from "../../../src/errors.ts";
import { MemoryStaging, prepareTransaction, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import {
  anyFault,
  commitUntilDone,
  type Fault,
  FaultPlan,
  openUntilDone,
  records,
  type SinkContract,
  type SinkFixture,
} from "./sink.contract.ts";

const ORIGINAL = "life1";
const FORK = "life2";
const FROM: InheritedFrom = { incarnation: ORIGINAL, generation: 1 };
/** More than the calls of one commit of the transactions below. */
const CALLS = 14;

export function inheritedContract(contract: SinkContract): void {
  describe(`a transaction that a fork has inherited: ${contract.name}`, () => {
    let fixture: SinkFixture;
    let staging: MemoryStaging;
    beforeEach(async () => {
      fixture = await contract.fixture();
      staging = new MemoryStaging();
    });
    afterEach(() => fixture.stop());

    const environment = (at: Partial<SinkEnvironment>) =>
      sinkEnvironment({ nats: fixture.nats, staging, ...at });
    const openOriginal = (at: Partial<SinkEnvironment> = {}) =>
      fixture.sink.open(environment({ incarnation: ORIGINAL, ...at }));
    /** Sinks remember nothing of another job's target. */
    const openFork = (at: Partial<SinkEnvironment> = {}) =>
      fixture.sink.open(
        environment({ incarnation: FORK, restoredCheckpointId: 1, restoredState: undefined, ...at }),
      );
    const committed = () => fixture.committed();
    const sorted = async () => (await committed()).sort();

    test("is committed once when the job that wrote it never does", async () => {
      const original = await openOriginal();
      const transaction = await prepareTransaction(original, 1, records("a", 8));
      await original.close();
      const fork = await openFork();
      await fork.commit(transaction, FROM);
      await fork.commit(transaction, FROM);
      expect(await committed()).toEqual(records("a", 8));
      const own = await prepareTransaction(fork, 2, records("f", 4));
      await fork.commit(own);
      await fork.close();
      expect(await sorted()).toEqual([...records("a", 8), ...records("f", 4)]);
    });

    test("is not committed again when that job has done so, and gone on", async () => {
      const original = await openOriginal();
      const transaction = await prepareTransaction(original, 1, records("a", 8));
      await original.commit(transaction);
      const fork = await openFork();
      await fork.commit(transaction, FROM);
      await original.commit(await prepareTransaction(original, 2, records("b", 4)));
      await fork.commit(transaction, FROM);
      expect(await committed()).toEqual([...records("a", 8), ...records("b", 4)]);
      await original.close();
      await fork.close();
    });

    test("is not committed again by that job, which is not fenced and goes on", async () => {
      const original = await openOriginal();
      const transaction = await prepareTransaction(original, 1, records("a", 8));
      const fork = await openFork();
      await fork.commit(transaction, FROM);
      await original.commit(transaction);
      await original.commit(await prepareTransaction(original, 2, records("b", 7)));
      await original.commit(await prepareTransaction(original, 3, records("c", 2)));
      expect(await committed()).toEqual([...records("a", 8), ...records("b", 7), ...records("c", 2)]);
      await original.close();
      await fork.close();
    });

    test("is not committed again by a later generation of that job, which goes on", async () => {
      const original = await openOriginal();
      const state = original.snapshot();
      const transaction = await prepareTransaction(original, 1, records("a", 8));
      await original.close();
      const fork = await openFork();
      await fork.commit(transaction, FROM);
      const next = await openOriginal({ generation: 2, restoredCheckpointId: 1, restoredState: state });
      await next.commit(transaction);
      await next.commit(await prepareTransaction(next, 2, records("b", 7)));
      await fork.commit(transaction, { incarnation: ORIGINAL, generation: 2 });
      expect(await committed()).toEqual([...records("a", 8), ...records("b", 7)]);
      await next.close();
      await fork.close();
    });

    test("stops that job by name when it would go back behind it: nothing is written twice (P20)", async () => {
      const original = await openOriginal();
      const state = original.snapshot();
      const transaction = await prepareTransaction(original, 5, records("a", 2));
      await original.close();
      const fork = await openFork({ restoredCheckpointId: 5 });
      await fork.commit(transaction, FROM);
      await fork.close();
      const opened = openOriginal({ generation: 2, restoredCheckpointId: 4, restoredState: state });
      await expect(opened).rejects.toThrow(CommitRefusedError);
      await expect(opened).rejects.toThrow(/stands at transaction 5, beyond the restored checkpoint 4/);
    });

    /** A target whose job went back behind transaction 5, to checkpoint 4. */
    async function passedOver() {
      const original = await openOriginal();
      const state = original.snapshot();
      const transaction = await prepareTransaction(original, 5, records("a", 2));
      await original.close();
      const next = await openOriginal({ generation: 2, restoredCheckpointId: 4, restoredState: state });
      return { transaction, next, fork: await openFork({ restoredCheckpointId: 5 }) };
    }

    test("is neither committed nor taken for committed where a later generation of that job may write its records anew (P59)", async () => {
      const { transaction, next, fork } = await passedOver();
      await expect(fork.commit(transaction, FROM)).rejects.toThrow(MarkerMovedError);
      await next.commit(await prepareTransaction(next, 6, records("a", 2)));
      const looked = fork.commit(transaction, FROM);
      await expect(looked).rejects.toThrow(MarkerMovedError);
      await expect(looked).rejects.toThrow(
        /taken over by generation 2 of job contract, .* generation 1 was its newest/,
      );
      expect(await committed()).toEqual(records("a", 2));
      await next.close();
      await fork.close();
    });

    test("is not committed where that job takes its marker over after the fork has looked (P59)", async () => {
      for (let calls = 0; calls < CALLS; calls++) {
        const incarnation = `raised-after-${calls}`;
        const original = await openOriginal({ incarnation });
        const state = original.snapshot();
        const transaction = await prepareTransaction(original, 5, records(`r${calls}`, 8));
        await original.close();
        // The fork's last request is still on the way while the job goes back behind what it is about.
        const at = { incarnation: `${incarnation}-fork`, restoredCheckpointId: 5, restoredState: undefined };
        const plan = await livesOnce(
          [...Array<Fault>(calls).fill("none"), "crash, arrives late"],
          at,
          (writer) => commitUntilDone(writer, transaction, { incarnation, generation: 1 }),
        );
        const back = { incarnation, generation: 2, restoredCheckpointId: 4, restoredState: state };
        const next = await openOriginal(back).catch((error: unknown) => error);
        await plan.late;
        if (next instanceof Error) expect(next.message).toMatch(/beyond the restored checkpoint 4/);
        else {
          const writer = next as SinkWriter<string>;
          await commitUntilDone(writer, await prepareTransaction(writer, 6, records(`r${calls}`, 8)));
          await writer.close();
        }
        const written = (await committed()).filter((record) => record.startsWith(`r${calls}-`));
        expect(new Set(written).size).toBe(written.length);
      }
    });

    test("is left alone when the fork knows that later generation: its leader has looked at that job", async () => {
      const { transaction, next, fork } = await passedOver();
      await next.commit(await prepareTransaction(next, 6, records("a", 2)));
      await fork.commit(transaction, { incarnation: ORIGINAL, generation: 2 });
      expect(await committed()).toEqual(records("a", 2));
      await next.close();
      await fork.close();
    });

    test("is completed by a fork, however far that job came with it before it died", async () => {
      for (let calls = 0; calls < CALLS; calls++) {
        const incarnation = `dies-after-${calls}`;
        const original = await openOriginal({ incarnation });
        const state = original.snapshot();
        const transaction = await prepareTransaction(original, 1, records(`d${calls}`, 8));
        await original.close();
        const restored = { incarnation, generation: 2, restoredCheckpointId: 1, restoredState: state };
        await livesOnce([...Array<Fault>(calls).fill("none"), "crash after"], restored, (writer) =>
          commitUntilDone(writer, transaction),
        );
        const fork = await openFork({ incarnation: `${incarnation}-fork` });
        // A transaction of the dead one may be open in the target for a while.
        await commitUntilDone(fork, transaction, { incarnation, generation: 2 });
        const next = await openOriginal({ ...restored, generation: 3 });
        await commitUntilDone(next, transaction);
        await next.commit(await prepareTransaction(next, 2, records(`e${calls}`, 4)));
        await next.close();
        await fork.close();
        const written = (await committed()).filter((record) => /^[de]/.test(record));
        const expected = [...records(`d${calls}`, 8), ...records(`e${calls}`, 4)];
        expect(written.filter((record) => expected.includes(record))).toEqual(expected);
      }
    });

    test("stops the fork by name when the marker of that job is missing (P22)", async () => {
      const original = await openOriginal();
      const transaction = await prepareTransaction(original, 1, records("a", 2));
      await original.close();
      await fixture.loseMarkers();
      const fork = await openFork();
      const refused = fork.commit(transaction, FROM);
      await expect(refused).rejects.toThrow(ObjectMissingError);
      await expect(refused).rejects.toThrow(/marker .* is missing/);
      expect(await committed()).toEqual([]);
      await fork.close();
    });

    test("is committed once when both try at the same time, whatever fails or crashes (C3)", async () => {
      const lives = fc.array(fc.array(anyFault, { maxLength: 14 }), { minLength: 1, maxLength: 3 });
      const sizes = fc.array(fc.integer({ min: 1, max: 11 }), { minLength: 1, maxLength: 3 });
      let life = 0;
      const property = fc.asyncProperty(lives, lives, sizes, async (ofOriginal, ofFork, counts) => {
        life += 1;
        const incarnation = `both${life}`;
        const label = `b${life}`;
        const writer = await openOriginal({ incarnation });
        const transactions: Committable[] = [];
        for (const [index, count] of counts.entries())
          transactions.push(
            await prepareTransaction(writer, index + 1, records(`${label}t${index + 1}`, count)),
          );
        const restored = { restoredCheckpointId: counts.length, restoredState: writer.snapshot() };
        await writer.close();
        const from = { incarnation, generation: ofOriginal.length + 2 };
        const late: Promise<void>[] = [];
        const original = async () => {
          for (const [index, faults] of [...ofOriginal, []].entries()) {
            const at = { incarnation, generation: index + 2, ...restored };
            const plan = await livesOnce(faults, at, async (heir) => {
              for (const transaction of transactions) await commitUntilDone(heir, transaction);
            });
            late.push(plan.late);
          }
        };
        const fork = async () => {
          for (const [index, faults] of [...ofFork, []].entries()) {
            const at = { incarnation: `${incarnation}-fork`, generation: index + 1, ...restored };
            const plan = await livesOnce(faults, { ...at, restoredState: undefined }, async (heir) => {
              for (const transaction of transactions) await commitUntilDone(heir, transaction, from);
            });
            late.push(plan.late);
          }
        };
        await Promise.all([original(), fork()]);
        await Promise.all(late);
        const written = (await committed()).filter((record) => record.startsWith(`${label}t`));
        expect(written).toEqual(counts.flatMap((count, index) => records(`${label}t${index + 1}`, count)));
      });
      await fc.assert(property, { numRuns: contract.runs });
    });

    /** Until it is done, or the plan has it crash. */
    async function livesOnce(
      faults: readonly Fault[],
      at: Partial<SinkEnvironment>,
      work: (writer: SinkWriter<string>) => Promise<void>,
    ): Promise<FaultPlan> {
      const plan = new FaultPlan(faults);
      const target = fixture.faulty(plan);
      await Promise.race([
        live(target.sink, environment({ nats: target.nats ?? fixture.nats, ...at }), work),
        plan.crashed,
      ]);
      return plan;
    }
  });
}

async function live(
  sink: Sink<string>,
  environment: SinkEnvironment,
  work: (writer: SinkWriter<string>) => Promise<void>,
): Promise<void> {
  const writer = await openUntilDone(sink, environment);
  await work(writer);
  await writer.close();
}
