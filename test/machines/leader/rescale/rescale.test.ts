import { describe, expect, test } from "vitest";
import { parallelismOf, planOfCheckpoint } from "../../../../machines/leader/rescale.ts";
import type { GraphPlan, JobRecord } from "../../../../machines/protocol.ts";
import { changeRecord, type RecordChange } from "../../../../machines/record.ts";
import { completedCheckpoint, jobRecord } from "../../../support/job-record.ts";

const planWith = (parallelism: number): GraphPlan => ({
  vertices: [{ id: "count", parallelism, operators: [{ id: "count", kind: "reduce", inputs: [] }] }],
  edges: [],
  maxParallelism: 128,
});

const [TWO, THREE, FOUR] = [2, 3, 4].map(planWith) as [GraphPlan, GraphPlan, GraphPlan];

const begun = jobRecord({
  plan: TWO,
  generation: 5,
  generations: [5],
  checkpoints: [completedCheckpoint(7, 5)],
});

const to = (plan: GraphPlan, completed = 7, request = "r"): RecordChange => ({
  change: "rescale",
  request,
  plan,
  completed,
  atMs: 1,
});

function changed(record: JobRecord, ...changes: RecordChange[]): JobRecord {
  return changes.reduce((now, change) => {
    const answer = changeRecord(now, change);
    if ("refused" in answer) throw new Error(answer.refused);
    return answer.record;
  }, record);
}

const raised = (generation: number, completed = 7): RecordChange => ({
  change: "generation",
  generation,
  regions: [0],
  nonce: "n",
  completed,
});

const decision = (checkpointId: number, generation: number): RecordChange => ({
  change: "decision",
  checkpoint: completedCheckpoint(checkpointId, generation),
  savepoint: null,
});

const undone: RecordChange = { change: "rescale-undone", reason: "no slots", atMs: 2 };

describe("a rescale in the record (P95)", () => {
  const pending = changed(begun, to(THREE));

  test("has the new plan, and the former one for the checkpoint that was taken of it", () => {
    expect(pending).toMatchObject({ plan: THREE, submittedPlan: TWO, rescale: { state: "pending" } });
    expect(planOfCheckpoint(pending, 7)).toEqual(TWO);
    expect(planOfCheckpoint(pending, 8)).toEqual(THREE);
    expect(parallelismOf(pending.plan)).toEqual({ count: 3 });
  });

  test("lets nothing be decided any more that the former plan has under way", () => {
    expect(changeRecord(pending, decision(8, 5))).toEqual({ refused: "generation 6 has taken over" });
    expect(pending).toMatchObject({ generation: 6, generations: [], planSince: 6 });
  });

  test.each([
    [
      "over another checkpoint than the latest",
      begun,
      to(THREE, 6),
      "another checkpoint was decided meanwhile",
    ],
    ["while another one is pending", pending, to(FOUR), "another rescale has begun"],
    ["of a job that ends", { ...begun, status: "settling" as const }, to(THREE), "the job is settling"],
  ])("is refused %s", (_, record, change, reason) => {
    expect(changeRecord(record, change)).toMatchObject({ refused: expect.stringContaining(reason) });
  });

  test("goes back to the former plan, under a generation of its own", () => {
    const back = changed(pending, raised(7), undone);
    expect(back).toMatchObject({
      ...{ plan: TWO, formerPlans: [], generation: 8, generations: [], planSince: 8 },
      rescale: { state: "failed", reason: "no slots" },
    });
    expect(planOfCheckpoint(back, 7)).toEqual(TWO);
  });

  test.each<[string, RecordChange]>([
    ["a generation has run", { change: "rescale-done" }],
    ["a checkpoint of it was decided", decision(8, 7)],
    ["the job ends under it", { change: "settling", settleTo: "canceled" }],
  ])("stays once %s", (_, change) => {
    const done = changed(pending, raised(7), change);
    expect(done).toMatchObject({ plan: THREE, rescale: { state: "done" } });
    expect(changeRecord(done, undone)).toHaveProperty("refused");
  });

  test("keeps a former plan as long as a checkpoint of it is retained, over further rescales", () => {
    const again = changed(pending, ...[raised(7), decision(8, 7), to(FOUR, 8, "s"), raised(9, 8)]);
    expect([7, 8, 9].map((id) => planOfCheckpoint(again, id))).toEqual([TWO, THREE, FOUR]);
    expect(again.submittedPlan).toEqual(TWO);
    const later = changed(again, decision(9, 9));
    expect(later.checkpoints.map(({ checkpointId }) => checkpointId)).toEqual([8, 9]);
    expect(later.formerPlans).toEqual([{ plan: THREE, upTo: 8 }]);
    expect(changed(later, decision(10, 9)).formerPlans).toEqual([]);
  });
});
