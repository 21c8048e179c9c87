/** Unequal copies of broadcast state: what the log and the troubles of a job say, and when they say nothing. */
import { expect, test } from "vitest";
import type { CheckpointingConfig, OperatorStateHandle } from "../../../../machines/protocol.ts";
import { withEqualCopiesOnce } from "../../../../src/job/restore/broadcast-copies.ts";
import { CopyWatch } from "../../../../src/runtime/leader/checkpoints/copy-watch.ts";
import { jobRecord, manifestOf, subtaskSnapshot } from "../../../support/job-record.ts";

const copy = (subtaskIndex: number, content: number): OperatorStateHandle => ({
  ...{ kind: "operator", operator: "v", state: "rules", distribution: "broadcast", subtaskIndex },
  entries: [Uint8Array.of(content)],
});

const holding = (...contents: number[]) => {
  const snapshots = contents.map((content, i) =>
    subtaskSnapshot({ subtask: `v/${i}`, states: [copy(i, content)] }),
  );
  return manifestOf(7, { subtasks: withEqualCopiesOnce(snapshots) });
};

function watching(mode: CheckpointingConfig["mode"] = "exactly-once") {
  const lines: string[] = [];
  let trouble: string | undefined;
  const quiet = { debug() {}, info() {}, error() {} };
  const watch = new CopyWatch({
    logger: { ...quiet, warn: (_, line) => void lines.push(line) },
    troubles: {
      watch: () => ({
        failed: (error) => {
          trouble = (error as Error).message;
        },
        passed: () => {
          trouble = undefined;
        },
        forget: () => {},
      }),
    },
  });
  const plain = jobRecord();
  const operator = { id: "v", kind: "any", inputs: [], operatorStates: { rules: "broadcast" } } as const;
  const record = {
    ...plain,
    checkpointing: { ...plain.checkpointing, mode },
    plan: { ...plain.plan, vertices: [{ id: "v", parallelism: 2, operators: [operator] }], edges: [] },
  };
  const look = (...contents: number[]) => {
    watch.look(record, holding(...contents));
    return trouble;
  };
  return { look, lines };
}

test("the trouble lasts until the copies are equal; the log has one line for as long as it is the same", () => {
  const { look, lines } = watching();
  expect(look(1, 1)).toBeUndefined();
  expect(look(1, 2)).toContain('broadcast state "rules" of operator v is not the same in all subtasks');
  expect(look(2, 1)).toContain("not the same");
  expect(lines).toHaveLength(1);
  expect(look(3, 3)).toBeUndefined();
  expect(look(1, 2)).toContain("not the same");
  expect(lines).toHaveLength(2);
});

test("nothing is said where checkpoints are at-least-once: after a failure copies may well be unequal there", () => {
  const { look, lines } = watching("at-least-once");
  expect(look(1, 2)).toBeUndefined();
  expect(lines).toEqual([]);
});
