/** Every state of a job and of a subtask, and every reason, has words: no name of one reaches a user. */
import { expect, test } from "vitest";
import { jobMachine } from "../../machines/leader/job.ts";
import { phaseInWords, reasonInWords, subtaskStateInWords } from "../../machines/words.ts";
import { subtaskMachine } from "../../machines/worker/subtask.ts";

interface Node {
  readonly path: readonly string[];
  readonly states: Readonly<Record<string, Node>>;
}

const leavesOf = (node: Node): string[] => {
  const inner = Object.values(node.states);
  return inner.length === 0 ? [node.path.join(".")] : inner.flatMap(leavesOf);
};
/** Small letters and blanks, as people write: no camel case, no dots, no dashes between words. */
const plain = /^(it |its |the |what |some |too |a |an )?[a-z]+([ ,][a-zA-Z,' .:-]+)?$/;

test("every state of a job", () => {
  const leaves = leavesOf(jobMachine.root as unknown as Node);
  expect(leaves.length).toBeGreaterThan(20);
  for (const leaf of leaves) {
    if (leaf === "ended" || leaf === "ending") continue;
    expect([leaf, phaseInWords(leaf)]).not.toEqual([leaf, leaf]);
    expect(phaseInWords(leaf)).toMatch(plain);
  }
  expect(phaseInWords("finished")).toBe("finished");
});

test("every state of a subtask, also where input, snapshot and commit go on beside each other", () => {
  const leaves = leavesOf(subtaskMachine.root as unknown as Node);
  const states = leaves.filter((leaf) => !/^running\.(snapshot|stop|commit)/.test(leaf));
  for (const state of states)
    if (!["failed", "closed", "restored"].includes(state)) expect(subtaskStateInWords(state)).not.toBe(state);
  expect(subtaskStateInWords("running.input.processing+snapshot.idle+stop.off+commit.idle")).toBe(
    "processing records",
  );
  expect(subtaskStateInWords("running.snapshot.idle+input.ended+stop.off+commit.committing")).toBe(
    "finished, answering barriers",
  );
});

test("every reason; what is words already stays", () => {
  const reasons = ["expired", "declined", "async-exception", "declined-task-not-ready", "declined-subsumed"];
  const more = ["declined-on-cancellation-barrier", "io-exception", "finalize-failure", "subsumed"];
  const refusals = [
    "job-stopped",
    "job-draining",
    "not-all-subtasks-running",
    "some-subtasks-ended",
    "too-many-requests",
  ];
  for (const reason of [...reasons, ...more, ...refusals]) {
    expect(reasonInWords(reason)).not.toContain(reason);
    expect(reasonInWords(reason)).toMatch(plain);
  }
  expect(reasonInWords("the bucket is full")).toBe("the bucket is full");
  expect(reasonInWords("toString")).toBe("toString");
});
