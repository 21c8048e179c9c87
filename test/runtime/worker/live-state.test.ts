/**
 * What a reader hands out at a cut may be an object of its own that it goes on changing: the checkpoint has what it was
 * at the cut.
 */
import { expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { Chain } from "../../../src/dataflow/chain.ts";
import type { SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import { defineOperator } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds } from "../../../src/dataflow/operators/kinds.ts";
import { splitsIn } from "../../../src/dataflow/operators/source.ts";
import type { Source, SplitPosition } from "../../../src/dataflow/source.ts";
import { NOTHING } from "../../../src/job/restore/assignment.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { openSource } from "../../../src/runtime/worker/subtask/input/source.ts";
import { OpenParts } from "../../../src/runtime/worker/subtask/open-parts.ts";
import type { SubtaskOptions } from "../../../src/runtime/worker/subtask/subtask.ts";
import { inRow } from "../../support/graphs/operators.ts";

test("the position in a snapshot is that of its cut, though the reader goes on with the same object", async () => {
  const live = { next: 0 };
  const counting: Partial<Source<unknown>> = {
    open: async (_, [split]) => ({
      poll: () => {
        live.next++;
        return "more";
      },
      onAvailable: () => {},
      describePosition: () => "",
      snapshot: (): SplitPosition[] => [{ split: split!.split, position: live }],
      checkpointCompleted: () => {},
      close: async () => {},
    }),
  };
  const vertex = {
    id: "numbers",
    parallelism: 1,
    operators: inRow([
      defineOperator(operatorKinds.source, "numbers", { source: counting as Source<unknown> }),
    ]),
  };
  const options = {
    graph: { vertices: [vertex], edges: [], maxParallelism: 128 },
    vertex,
    index: 0,
    clock: systemClock,
    troubles: new Troubles(systemClock),
    deployment: { splits: { numbers: [{ id: "all" }] } },
    restore: NOTHING,
    outputs: new Map(),
  } as unknown as SubtaskOptions;
  const input = await openSource(
    options,
    () => ({}) as SubtaskEnvironment,
    { heads: [() => {}], reactsToTime: false } as unknown as Chain,
    new OpenParts(() => {}),
  );
  input.take();
  const states = input.cut(1);
  input.take();
  expect(splitsIn(states, "numbers")).toEqual([{ split: { id: "all" }, position: { next: 1 } }]);
});
