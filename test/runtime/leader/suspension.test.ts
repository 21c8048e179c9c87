/** When a job may be suspended, phase by phase. */
import { describe, expect, test } from "vitest";
import type { JobRecord } from "../../../machines/protocol.ts";
import { JobRequests } from "../../../src/runtime/leader/checkpoints/job-requests.ts";
import { jobRecord } from "../../support/job-record.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function refusal(
  phase: string,
  some: Partial<JobRecord> = {},
  settleTo: string | null = null,
): string | undefined {
  const record = jobRecord(some);
  const requests = new JobRequests({
    host: { has: () => phase !== "", send() {}, state: () => phase, context: () => ({ settleTo }) },
    clock: new ManualClock(),
    record: () => record,
    ended: () => phase === "",
    cancel() {},
  });
  return requests.suspendRefusal();
}

describe("a job may be suspended", () => {
  test.each(["claiming", "recovering", "waiting", "deploying.restoring", "running.processing", "backingOff"])(
    "while it is %s",
    (phase) => expect(refusal(phase)).toBeUndefined(),
  );

  test("again while it is being suspended, whether the record says so yet or not, and when it is", () => {
    expect(refusal("running.suspending")).toBeUndefined();
    expect(refusal("settling.storing", {}, "suspended")).toBeUndefined();
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
