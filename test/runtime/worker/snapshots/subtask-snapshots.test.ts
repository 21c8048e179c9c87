/** Snapshots of one subtask on their way to the storage. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/clock.ts";
import type { Deployment } from "../../../../src/control/messages.ts";
import { buildChain } from "../../../../src/dataflow/chain.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { Troubles } from "../../../../src/observe/troubles.ts";
import { SubtaskSnapshots } from "../../../../src/runtime/worker/snapshots/subtask-snapshots.ts";
import type { TurnWork } from "../../../../src/runtime/worker/subtask/turns.ts";
import { inRow, reduce } from "../../../support/graphs/operators.ts";
import { until } from "../../../support/until.ts";

const sum = reduce(
  "sum",
  (value) => value as number,
  (a) => a,
);
const vertex = { id: "sum", parallelism: 1, operators: inRow([sum]) };

test("each of several cuts is stored with the state at its own; one that is canceled tells nothing (SN1)", async () => {
  const chain = buildChain(vertex, {
    subtaskIndex: 0,
    maxParallelism: 8,
    output: () => () => {},
    writer: () => {
      throw new Error("there is no sink");
    },
  });
  for (let i = 0; i < 1000; i++) chain.heads[0]!(i, 0);
  const told: { readonly type: string; readonly checkpointId: number }[] = [];
  const works = new Set<TurnWork>();
  const snapshots = new SubtaskSnapshots({
    clock: systemClock,
    subtask: "sum/0",
    keyGroups: { first: 0, last: 7 },
    deployment: { job: "j", incarnation: "i", generation: 1 } as Deployment,
    restored: undefined,
    storage: new MemoryStorage(),
    inlineBytesMax: 100,
    troubles: new Troubles(systemClock),
    turns: {
      beginWork: (work) => void works.add(work),
      dropWork: (work) => void works.delete(work),
      wake: () => {},
    },
    tell: (event) => told.push(event),
  });
  const take = (checkpointId: number) =>
    snapshots.take({
      checkpointId,
      states: snapshots.cut(chain, null),
      inline: [],
      flush: async () => {},
      alignmentMs: 0,
      startedMs: performance.now(),
    });
  const encodes = () => {
    for (const work of [...works]) {
      while (work.step(Number.POSITIVE_INFINITY) === "more");
      works.delete(work);
    }
  };
  take(1);
  take(2);
  for (let i = 1000; i < 1500; i++) chain.heads[0]!(i, 0);
  take(3);
  expect(works.size).toBe(3);
  snapshots.cancel(1);
  expect(works.size).toBe(2);
  expect(told).toEqual([]);
  encodes();
  await until("both are stored", () => told.length === 2 || undefined, { everyMs: 1 });
  expect(told).toEqual(
    expect.arrayContaining([
      { type: "snapshot.stored", checkpointId: 2 },
      { type: "snapshot.stored", checkpointId: 3 },
    ]),
  );
  const [second, third] = [2, 3].map((id) => snapshots.acknowledgement(id, false, []).bytes);
  expect(second).toBeGreaterThan(0);
  expect(third).toBeGreaterThan(second!);
});
