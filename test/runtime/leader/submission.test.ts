import { describe, expect, it } from "vitest";
import type { GraphPlan, JobRecord, JobStatus } from "../../../machines/protocol.ts";
import type { JobSubmission } from "../../../src/control/messages.ts";
import { graphFingerprint } from "../../../src/job/fingerprint.ts";
import {
  type AdmissionFacts,
  admit,
  type Fork,
  forkRecord,
  forkRefusal,
} from "../../../src/runtime/leader/submissions/submission.ts";
import { checkpointingConfig, completedCheckpoint, jobRecord } from "../../support/job-record.ts";

const planOf = (parallelism: number, states: readonly string[] = ["count"]): GraphPlan => ({
  vertices: [
    {
      id: "count",
      parallelism,
      operators: [{ id: "count", kind: "process", inputs: [], states }],
    },
  ],
  edges: [],
  maxParallelism: 128,
});

const allUpTo = (end: number) => ({ id: "all", end });

/** What the record keeps. */
const kept = {
  job: "word-count",
  submissionId: "s2",
  plan: planOf(2),
  graphFingerprint: "g1",
  codeFingerprint: "c2",
  codeListing: { files: [["job.ts", "d2"]], packages: [], unlisted: 0 },
  checkpointing: checkpointingConfig({ intervalMs: 500, timeoutMs: 1000, retained: 3 }),
  restart: { strategy: "fixed-delay", attempts: 1, delayMs: 1 },
  heartbeat: { pingIntervalMs: 100, timeoutMs: 1000 },
  splits: { lines: [allUpTo(9)] },
} as const;
const submission: JobSubmission = { ...kept, fixesMaxParallelism: false, storage: null };

const existing = (status: JobStatus, some: Partial<JobRecord> = {}): JobRecord =>
  jobRecord({
    status,
    generation: 4,
    reservedCheckpointId: 2000,
    plan: planOf(2),
    splits: { lines: [allUpTo(5)] },
    checkpoints: [completedCheckpoint(7, 4)],
    failures: [{ atMs: 1, generation: 4, where: "job", reason: "x" }],
    ...some,
  });

function ask(
  record: JobRecord | undefined,
  fresh: boolean,
  some: Pick<Partial<AdmissionFacts>, "orphaned"> & Partial<JobSubmission> = {},
) {
  const { orphaned = false, ...changes } = some;
  return admit(record, { ...submission, ...changes }, fresh, { ...facts(), orphaned });
}

function facts(): AdmissionFacts {
  let ids = 0;
  return {
    token: 9,
    scope: "cluster",
    newId: () => `random-${++ids}`,
    nowMs: 1234,
    orphaned: false,
    storage: "bucket checkpoints",
  };
}

describe("a first submission", () => {
  it("begins a new incarnation at generation 0 (P1, P2)", () => {
    expect(ask(undefined, false)).toEqual({
      record: {
        format: 1,
        ...kept,
        incarnation: "random-1",
        generation: 0,
        generations: [],
        nonce: "",
        token: 9,
        scope: "cluster",
        writeId: "random-2",
        status: "created",
        settleTo: null,
        reservedCheckpointId: 0,
        planSince: 0,
        formerPlans: [],
        checkpoints: [],
        origin: null,
        savepoints: [],
        begunSavepoints: [],
        abandoned: [],
        fallbacks: [],
        aborted: [],
        failures: [],
        createdAtMs: 1234,
        updatedAtMs: 1234,
      },
    });
  });
});

describe("a submission that was answered before", () => {
  it.each<JobStatus>(["created", "running", "settling", "finished", "canceled", "suspended", "failed"])(
    "is a duplicate, whatever has become of the job: %s",
    (status) => {
      expect(ask(existing(status, { submissionId: "s2" }), false)).toEqual({ duplicate: true });
      expect(ask(existing(status, { submissionId: "s2" }), true)).toEqual({ duplicate: true });
    },
  );
});

describe("a submission that asks for another checkpoint storage", () => {
  it("is refused, whether the job is new or not, and both are named", () => {
    for (const record of [undefined, existing("suspended"), existing("finished")]) {
      expect(ask(record, true, { storage: "directory checkpoints" })).toEqual({
        refused:
          "job word-count asks for checkpoints in directory checkpoints, but this coordinator keeps them in bucket " +
          "checkpoints; give both the same checkpointing.storage and checkpointing.directory, or leave them out of the job",
      });
    }
  });

  it("is none when it asks for the coordinator's", () => {
    expect(ask(undefined, false, { storage: "bucket checkpoints" })).toHaveProperty("record");
  });
});

describe("a job that is alive", () => {
  it.each<JobStatus>(["created", "running", "settling"])("and %s is not started twice", (status) => {
    for (const fresh of [false, true]) {
      const answer = ask(existing(status), fresh);
      expect(answer).toHaveProperty("refused");
      expect(JSON.stringify(answer)).toContain(`word-count is ${status} already (generation 4)`);
    }
  });

  it("does not go on in silence without input that is new to it", () => {
    const splits = { lines: [{ id: "all" }, { id: "orders.>" }] };
    expect(ask(existing("suspended"), false, { splits })).toMatchObject({
      refused: expect.stringMatching(
        /would never read "orders\.>" of source lines: leave that out, go on with it, from its beginning, with "tidemark restore FILE --from checkpoint:word-count --fresh"/,
      ),
    });
    expect(ask(existing("suspended"), true, { splits })).toMatchObject({ record: { splits } });
  });

  it("does not go on with another input under the id of the former one", () => {
    const read = (input: string) => ({ lines: [{ id: "all", input }] });
    const before = { ...existing("suspended"), splits: read("stream ORDERS") };
    expect(ask(before, false, { splits: read("stream BIDS") })).toMatchObject({
      refused: expect.stringMatching(/source lines has read stream ORDERS, .* stream BIDS.*--fresh/),
    });
    expect(ask(before, false, { splits: read("stream ORDERS") })).toHaveProperty("record");
    expect(ask(before, true, { splits: read("stream BIDS") })).toHaveProperty("record");
  });

  it("does not go on in a stream that was made anew, unless the user accepts it as a copy", () => {
    const read = (created: string, accepted?: true) => ({
      lines: [{ id: "all", input: "stream ORDERS", created, ...(accepted && { accepted }) }],
    });
    const before = { ...existing("suspended"), splits: read("monday") };
    expect(ask(before, false, { splits: read("tuesday") })).toMatchObject({
      refused: expect.stringMatching(/made at monday, .* made at tuesday.*--accept-stream lines.*--fresh/),
    });
    const accepted = ask(before, false, { splits: read("tuesday", true) });
    // Positions of a checkpoint that was taken in the former stream are dealt with by the record.
    expect(accepted).toMatchObject({ record: { splits: read("tuesday", true) } });
    const { record } = accepted as { record: JobRecord };
    const suspended = { ...record, submissionId: "before", status: "suspended" } as const;
    expect(ask(suspended, false, { splits: read("tuesday") })).toHaveProperty("record");
    expect(ask(suspended, false, { splits: read("wednesday") })).toHaveProperty("refused");
    expect(ask(before, true, { splits: read("tuesday") })).toHaveProperty("record");
  });

  it("but whose processes are gone goes on from its last checkpoint", () => {
    expect(ask(existing("running"), false, { orphaned: true })).toMatchObject({
      record: { incarnation: "i1", generation: 4, status: "created", token: 9 },
    });
  });

  it("and was ending when its processes went still has to end (P18)", () => {
    const settling = existing("settling", { settleTo: "canceled" });
    expect(ask(settling, false, { orphaned: true })).toMatchObject({
      record: { status: "settling", settleTo: "canceled" },
    });
  });

  it("and was being suspended when its processes went is wanted again now (P30)", () => {
    const settling = existing("settling", { settleTo: "suspended" });
    expect(ask(settling, false, { orphaned: true })).toMatchObject({
      record: { status: "created", settleTo: null },
    });
  });
});

describe("a job that has ended", () => {
  it.each<JobStatus>(["finished", "canceled"])("%s starts only afresh", (status) => {
    expect(JSON.stringify(ask(existing(status), false))).toContain("start it over with --fresh");
    expect(ask(existing(status), true)).toHaveProperty("record");
  });

  it.each<JobStatus>(["suspended", "failed"])(
    "%s goes on in the same incarnation, from its checkpoints",
    (status) => {
      const answer = ask(existing(status), false);
      expect(answer).toMatchObject({
        record: {
          incarnation: "i1",
          generation: 4,
          reservedCheckpointId: 2000,
          checkpoints: [{ checkpointId: 7 }],
          status: "created",
          settleTo: null,
          failures: [],
          token: 9,
          writeId: "random-1",
          submissionId: "s2",
        },
      });
    },
  );

  it("failed and was to keep nothing starts only afresh, if nothing is there", () => {
    const checkpointing = checkpointingConfig({ retention: "delete" });
    const lost = existing("failed", { checkpointing, checkpoints: [] });
    expect(ask(lost, false)).toEqual({
      refused:
        'job word-count has failed, and its state was deleted with its end, as checkpointing.retention "delete" says; ' +
        "start it over with --fresh",
    });
    expect(ask(lost, true)).toHaveProperty("record");
    // It was stopped by name: nothing was deleted.
    expect(ask(existing("failed", { checkpointing }), false)).toHaveProperty("record");
    // It has never completed one.
    expect(ask(existing("failed", { checkpoints: [] }), false)).toHaveProperty("record");
  });

  it("keeps the input that was discovered first and takes the new code and options (P31)", () => {
    expect(ask(existing("suspended"), false)).toMatchObject({
      record: {
        splits: { lines: [allUpTo(5)] },
        codeFingerprint: "c2",
        codeListing: { files: [["job.ts", "d2"]] },
        checkpointing: submission.checkpointing,
        restart: submission.restart,
        heartbeat: submission.heartbeat,
      },
    });
  });

  it.each<JobStatus>(["finished", "canceled", "suspended", "failed"])(
    "%s and started afresh is a new incarnation whose counters go on (P1, P2, P3)",
    (status) => {
      expect(ask(existing(status), true)).toMatchObject({
        record: {
          incarnation: "random-1",
          generation: 4,
          reservedCheckpointId: 2000,
          checkpoints: [],
          splits: { lines: [allUpTo(9)] },
          status: "created",
        },
      });
    },
  );
});

it("a fresh start over a killed run or a failed job leaves word of the decided checkpoint that it gives up (P17)", () => {
  for (const status of ["running", "settling", "failed"] as const)
    expect(ask(existing(status), true, { orphaned: true })).toMatchObject({
      record: {
        checkpoints: [],
        abandoned: [{ checkpointId: 7, status, by: "fresh-start", atMs: 1234 }],
      },
    });
  expect(ask(existing("suspended"), true)).toMatchObject({ record: { abandoned: [] } });
});

describe("a job that was disposed of", () => {
  it("is started as if it had never been, with counters that go on (P1)", () => {
    const tombstone = existing("failed", { disposed: "job", checkpoints: [] });
    const { record } = ask(tombstone, false) as { record: JobRecord };
    expect(record).toMatchObject({ incarnation: "random-1", generation: 4, reservedCheckpointId: 2000 });
    expect(record.disposed).toBeUndefined();
  });

  it("starts only afresh when its checkpoints are gone", () => {
    for (const status of ["failed", "suspended"] as const) {
      const answer = ask(existing(status, { disposed: "state", checkpoints: [] }), false);
      expect(answer).toEqual({
        refused: expect.stringMatching(`is ${status}, and its checkpoints were disposed of; .*--fresh`),
      });
      expect(ask(existing(status, { disposed: "state", checkpoints: [] }), true)).toHaveProperty("record");
    }
  });
});

describe("a changed graph", () => {
  it("is refused, naming what changed and the way out", () => {
    const answer = ask(existing("suspended"), false, { graphFingerprint: "g2", plan: planOf(2, ["total"]) });
    const { refused } = answer as { refused: string };
    expect(refused).toContain("the graph of job word-count has changed");
    expect(refused).toContain("count");
    expect(refused).toContain("--fresh");
  });

  it("is refused when only the parallelism changed", () => {
    const { refused } = ask(existing("failed"), false, { plan: planOf(3) }) as { refused: string };
    expect(refused).toContain("count has parallelism 3, it had 2");
  });

  it("keeps the numbers of a rescale, whether it names these or those of before; others are refused", () => {
    const rescaled = existing("suspended", { plan: planOf(5), submittedPlan: planOf(2) });
    for (const parallelism of [2, 5])
      expect(ask(rescaled, false, { plan: planOf(parallelism) })).toMatchObject({
        record: { plan: planOf(5), submittedPlan: planOf(2) },
      });
    const { refused } = ask(rescaled, false, { plan: planOf(3) }) as { refused: string };
    expect(refused).toContain("count has parallelism 3, it had 5");
  });

  it("has the number of key groups that the state has, unless it says another one", () => {
    const plan = { ...planOf(2), maxParallelism: 64 };
    const before = existing("suspended", { plan, graphFingerprint: graphFingerprint(plan) });
    expect(ask(before, false)).toMatchObject({ record: { plan } });
    const { refused } = ask(before, false, { fixesMaxParallelism: true }) as { refused: string };
    expect(refused).toContain("maxParallelism was 64, is 128");
  });

  it("is refused when only the chains or the exchanges changed, and the way to go on is named", () => {
    const map = { id: "map", kind: "map", inputs: [{ from: "count" }] };
    const vertex = (id: string, ...operators: readonly object[]) =>
      ({ id, parallelism: 2, operators }) as GraphPlan["vertices"][number];
    const [count] = planOf(2).vertices[0]!.operators;
    const edge = { id: "count-map", from: "count", to: "map", partitioner: "rebalance" };
    const plan = (vertices: GraphPlan["vertices"], edges: GraphPlan["edges"]) => ({
      ...planOf(2),
      vertices,
      edges,
    });
    const apart = plan([vertex("count", count!), vertex("map", map)], [edge]);
    const chained = plan([vertex("count", count!, map)], []);
    const dealt = { ...apart, edges: [{ ...edge, partitioner: "hash" }] };
    const refusalOf = (was: GraphPlan, is: GraphPlan) =>
      (ask(existing("suspended", { plan: was }), false, { plan: is }) as { refused: string }).refused;
    expect(refusalOf(apart, chained)).toContain('operator "map" is chained into the vertex of "count"');
    expect(refusalOf(chained, apart)).toContain('operator "map" is chained to none in front of it');
    expect(refusalOf(apart, dealt)).toContain('records take edge "count-map" by hash');
    const combining = {
      ...dealt,
      edges: dealt.edges.map((one) => ({ ...one, accumulators: true as const })),
    };
    expect(refusalOf(dealt, combining)).toContain(
      'edge "count-map" carries accumulators, by combine, it carried records, without combine',
    );
    expect(refusalOf(apart, dealt)).toContain("restore FILE --from checkpoint:word-count --fresh");
    expect(ask(existing("suspended", { plan: apart }), false, { plan: apart })).toHaveProperty("record");
  });

  it("starts afresh", () => {
    expect(
      ask(existing("suspended"), true, { graphFingerprint: "g2", plan: planOf(3, ["total"]) }),
    ).toHaveProperty("record");
  });
});

describe("a job that is restored from somewhere else", () => {
  const asked = (record: JobRecord | undefined, fresh = false, storage: string | null = null) =>
    forkRefusal(record, { ...submission, storage }, fresh, facts());
  const none = { checkpoints: [] };

  it.each<[string, JobRecord | undefined, boolean]>([
    ["under a new name", undefined, false],
    ["over a finished one", existing("finished"), false],
    ["over a stopped one", existing("stopped"), false],
    ["over a canceled one", existing("canceled"), false],
    ["over a failed one that has nothing to resume from", existing("failed", none), false],
    ["over a suspended one that has nothing to resume from", existing("suspended", none), false],
    ["over a failed one that is given up", existing("failed"), true],
    ["over a suspended one that is given up", existing("suspended"), true],
  ])("may begin %s", (_, record, fresh) => {
    expect(asked(record, fresh)).toBeUndefined();
  });

  it.each<[JobStatus, boolean, RegExp]>([
    ["created", false, /word-count is created already: stop it first, or give the restored one another name/],
    ["running", false, /is running already/],
    ["running", true, /is running already/],
    ["settling", true, /is settling already/],
    ["failed", false, /is failed and can be resumed from its own checkpoint 7.*add --fresh/],
    ["suspended", false, /is suspended and can be resumed from its own checkpoint 7.*add --fresh/],
  ])("may not begin over one that is %s (fresh: %s)", (status, fresh, words) => {
    expect(asked(existing(status), fresh)).toMatch(words);
  });

  it("is refused when its checkpoints were to go elsewhere, as any other", () => {
    for (const record of [undefined, existing("stopped")]) {
      expect(asked(record, true, "bucket checkpoints")).toBeUndefined();
      expect(asked(record, true, "directory /shared")).toMatch(/asks for checkpoints in directory \/shared/);
    }
  });

  const forkAt = (checkpointId: number): Fork => ({
    plan: planOf(2),
    graphFingerprint: "g1",
    incarnation: "i2",
    splits: submission.splits,
    origin: {
      location: "/to/other-savepoint-7-01234567",
      ...{ job: "other", incarnation: "i1", generation: 1, checkpointId },
      mode: "claim",
    },
    checkpoint: { ...completedCheckpoint(checkpointId, 5), completedAtMs: 1234 },
  });

  it("begins with its checkpoint, and nothing of what was there but counters and savepoints (P1, P3)", () => {
    const savepoint = {
      checkpointId: 3,
      generation: 1,
      request: "r",
      location: "/x/y",
      completedAtMs: 1,
      bytes: 1,
    };
    const before = existing("stopped", { savepoints: [savepoint], origin: forkAt(2).origin });
    const fork = forkAt(7);
    expect(forkRecord(before, submission, fork, facts())).toEqual({
      ...(ask(before, true) as { readonly record: JobRecord }).record,
      incarnation: "i2",
      generation: 5,
      reservedCheckpointId: 2000,
      status: "created",
      checkpoints: [fork.checkpoint],
      origin: fork.origin,
      savepoints: [savepoint],
      failures: [],
      // Drawn anew for each record.
      writeId: "random-2",
    });
  });

  it.each([
    ["another job's, ahead of its own", existing("stopped"), 5000, 5000],
    ["another job's, behind its own", existing("stopped"), 5, 2000],
    ["any, of a new job", undefined, 12, 12],
  ])("takes its next ids above the restored checkpoint and its own (%s)", (_, before, restored, reserved) => {
    expect(forkRecord(before, submission, forkAt(restored), facts())).toMatchObject({
      reservedCheckpointId: reserved,
      // The generation of what was copied for it.
      generation: 5,
    });
  });
});
