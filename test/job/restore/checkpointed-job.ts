/** A small job, and the state of one of its checkpoints: what the tests of this folder restore. */
import type { GraphPlan, OperatorPlan, SubtaskSnapshot } from "../../../machines/protocol.ts";
import { memoryHandle } from "../../../src/dataflow/operators/sink.ts";
import { splitsHandle } from "../../../src/dataflow/operators/source.ts";
import { keyedHandle, manifestOf, subtaskSnapshot } from "../../support/job-record.ts";

export const source: OperatorPlan = { id: "log", kind: "source", inputs: [], connector: "memory" };
export const one: OperatorPlan = { id: "one", kind: "map", inputs: [{ from: "log" }] };
export const count: OperatorPlan = { id: "count", kind: "process", inputs: [{ from: "one" }], states: ["n"] };
export const sink: OperatorPlan = { id: "out", kind: "sink", inputs: [{ from: "count" }], connector: "file" };

export const plan = (vertices: readonly (readonly OperatorPlan[])[], parallelism = 2): GraphPlan => ({
  vertices: vertices.map((operators) => ({ id: operators[0]!.id, parallelism, operators })),
  edges: [],
  maxParallelism: 128,
});
export const before = plan([
  [source, one],
  [count, sink],
]);

const object = (name: string, bytes = 5) => ({ name, bytes, digest: "sha256:00" });
const transaction = (writer: number) => ({
  ...{ incarnation: "i1", sink: "out", writer, checkpointId: 7 },
  staged: [object(`staged-${writer}`, 3)],
  detail: null,
});
export const subtasks: SubtaskSnapshot[] = [0, 1].flatMap((index) => [
  subtaskSnapshot({ subtask: `log/${index}`, states: [splitsHandle("log", index, [])] }),
  subtaskSnapshot({
    subtask: `count/${index}`,
    states: [
      keyedHandle("count", [object(`count-${index}`)], index, 2),
      memoryHandle("out", index, "a path"),
    ],
    transactions: [transaction(index)],
  }),
]);
export const manifest = manifestOf(7, { subtasks });

/** The same checkpoint, of which these subtasks had finished before it. */
export const finishedAt = (...names: string[]) => ({
  ...manifest,
  subtasks: manifest.subtasks.map((snapshot) => ({
    ...snapshot,
    finished: names.includes(snapshot.subtask),
  })),
});
