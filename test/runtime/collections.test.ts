import { expect, it } from "vitest";
import type { CollectionReport } from "../../src/control/requests/deletion.ts";
import { InvariantError, StorageStalledError } from "../../src/errors.ts";
import { Collections } from "../../src/runtime/leader/checkpoints/collections.ts";
import type { WriteOutcome } from "../../src/runtime/leader/records/record-writer.ts";
import { jobRecord } from "../support/job-record.ts";
import { ManualClock, settled } from "../support/manual-clock.ts";

const record = jobRecord();
const stored: WriteOutcome = { outcome: "stored", before: record, record };
const report = (objects: number): CollectionReport => ({ objects, bytes: 1, names: [], unfinished: 0 });

function world(outcome: WriteOutcome = stored) {
  const clock = new ManualClock();
  const done: string[] = [];
  const running: { resolve: (report: CollectionReport) => void; reject: (error: Error) => void }[] = [];
  const collections = new Collections({
    clock,
    prove: async () => {
      done.push("prove");
      return outcome;
    },
    collect: () => {
      done.push("collect");
      return new Promise((resolve, reject) => running.push({ resolve, reject }));
    },
  });
  return { clock, done, running, collections };
}

it("deletes only after a write of the record has proved that we lead (P9, P21)", async () => {
  const { collections, done, running } = world();
  const answer = collections.request("a");
  await settled();
  expect(done).toEqual(["prove", "collect"]);
  running[0]!.resolve(report(2));
  expect(await answer).toEqual({ answer: "collected", report: report(2) });

  const lost = world({ outcome: "lost" });
  expect(await lost.collections.request("a")).toMatchObject({ answer: "refused" });
  expect(lost.done).toEqual(["prove"]);
});

it("answers a repetition with the collection that the request began, however long that takes", async () => {
  const { collections, done, running, clock } = world();
  const first = collections.request("a");
  await settled();
  clock.advance(1000);
  expect(await first).toEqual({ answer: "pending" });
  const again = collections.request("a");
  running[0]!.resolve(report(3));
  expect(await again).toEqual({ answer: "collected", report: report(3) });
  expect(await collections.request("a")).toEqual({ answer: "collected", report: report(3) });
  expect(done).toEqual(["prove", "collect"]);
  expect(clock.pending).toEqual([]);

  const other = collections.request("b");
  await settled();
  running[1]!.resolve(report(0));
  expect(await other).toEqual({ answer: "collected", report: report(0) });
});

it("says why it could not go on, and hides no bug", async () => {
  const stalled = world();
  const answer = stalled.collections.request("a");
  await settled();
  stalled.running[0]!.reject(new StorageStalledError("deleting x"));
  expect(await answer).toEqual({ answer: "refused", reason: expect.stringContaining("deleting x") });

  const broken = world();
  const never = broken.collections.request("a");
  await settled();
  broken.running[0]!.reject(new InvariantError("broken"));
  await expect(never).rejects.toThrow(InvariantError);
});
