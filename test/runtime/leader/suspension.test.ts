/** When a job may be suspended, phase by phase. */
import { describe, expect, test } from "vitest";
import { suspendRefusal } from "../../../machines/leader/requests/refusals.ts";
import type { JobFacts } from "../../../machines/leader/requests/request-events.ts";

/** @param phase of the job machine; empty: the job has ended */
function refusal(phase: string, some: Partial<JobFacts> = {}): string | undefined {
  const facts = { status: "running", settleTo: null, savepoint: null, retained: false } as const;
  return suspendRefusal("word-count", { ...facts, phase, ended: phase === "", ...some });
}

describe("a job may be suspended", () => {
  test.each(["claiming", "recovering", "waiting", "deploying.restoring", "running.processing", "backingOff"])(
    "while it is %s",
    (phase) => expect(refusal(phase)).toBeUndefined(),
  );

  test("again while it is being suspended, whether the record says so yet or not, and when it is", () => {
    expect(refusal("running.suspending")).toBeUndefined();
    expect(refusal("settling.storing", { settleTo: "suspended" })).toBeUndefined();
    expect(refusal("recovering", { status: "settling", settleTo: "suspended" })).toBeUndefined();
    expect(refusal("", { status: "suspended" })).toBeUndefined();
  });
});

describe("a job is not suspended, and is told why", () => {
  test.each([
    ["running.draining", "is stopping with a savepoint already"],
    ["running.stopping", "is stopping with a savepoint already"],
    ["running.finishing", "takes its last checkpoint"],
    ["settling.storing", "is ending already"],
  ])("while it is %s", (phase, why) => {
    expect(refusal(phase)).toMatch(`job word-count`);
    expect(refusal(phase)).toMatch(why);
  });

  test("while a former leader's settling goes on, and when it has ended otherwise", () => {
    expect(refusal("recovering", { status: "settling", settleTo: "canceled" })).toMatch("is ending already");
    expect(refusal("", { status: "finished" })).toBe(
      "job word-count is finished: there is nothing to suspend",
    );
  });
});
