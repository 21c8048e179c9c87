/** Every change of the job record, and what the record refuses (RC1 - RC3, P59). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { passedOver } from "../../../machines/leader/fallback.ts";
import type { JobRecord, JobStatus } from "../../../machines/protocol.ts";
import {
  changeRecord,
  droppedBy,
  factsOf,
  type RecordChange,
  settleWrite,
} from "../../../machines/record.ts";
import {
  checkpointingConfig,
  completedCheckpoint as checkpointOf,
  jobRecord as recordWith,
} from "../../support/job-record.ts";

/** The changed record; the same one when it was refused. */
function changed(record: JobRecord, change: RecordChange): JobRecord {
  const answer = changeRecord(record, change);
  return "record" in answer ? answer.record : record;
}

function refusal(record: JobRecord, change: RecordChange): string | undefined {
  const answer = changeRecord(record, change);
  return "refused" in answer ? answer.refused : undefined;
}

/** Anything that a confused, slow or repeated writer might ask for. */
const changes: fc.Arbitrary<RecordChange> = fc.oneof(
  fc.record({ change: fc.constant("claim" as const), token: fc.nat({ max: 20 }) }),
  fc.record({ change: fc.constant("reservation" as const), reservedCheckpointId: fc.nat({ max: 5000 }) }),
  fc.record({
    change: fc.constant("generation" as const),
    generation: fc.nat({ max: 8 }),
    regions: fc.subarray([0, 1], { minLength: 1 }),
    nonce: fc.constant("n"),
    completed: fc.nat({ max: 12 }),
  }),
  fc.record({
    change: fc.constant("decision" as const),
    savepoint: fc.constant(null),
    checkpoint: fc
      .tuple(fc.integer({ min: 1, max: 12 }), fc.nat({ max: 8 }))
      .map(([checkpointId, generation]) => checkpointOf(checkpointId, generation)),
  }),
  fc.record({
    change: fc.constant("failure" as const),
    failure: fc.record({
      atMs: fc.nat(),
      generation: fc.nat(),
      where: fc.constant("job"),
      reason: fc.string(),
    }),
  }),
  fc.record({ change: fc.constant("settling" as const), settleTo: fc.constant("canceled" as const) }),
);

describe("random changes", () => {
  it("let generation, reservation and checkpoint ids only grow (RC3, P2, P3, C1)", () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (all, retained) => {
        let record = recordWith({
          checkpointing: checkpointingConfig({ retained }),
        });
        for (const change of all) {
          const next = changed(record, change);
          expect(next.generation).toBeGreaterThanOrEqual(record.generation);
          expect(next.reservedCheckpointId).toBeGreaterThanOrEqual(record.reservedCheckpointId);
          expect(factsOf(next).completed).toBeGreaterThanOrEqual(factsOf(record).completed);
          const ids = next.checkpoints.map(({ checkpointId }) => checkpointId);
          expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
          expect(ids.length).toBeLessThanOrEqual(retained);
          if (change.change === "generation" && next !== record) {
            expect(next.generation).toBe(change.generation + change.regions.length - 1);
            expect(next.generation).toBeGreaterThan(record.generation);
            expect(change.regions.map((region) => next.generations[region])).toEqual(
              change.regions.map((_, index) => change.generation + index),
            );
            expect(factsOf(next).completed).toBe(change.completed);
          }
          if (change.change === "decision" && next !== record) {
            expect(record.status).toBe("running");
            expect(change.checkpoint.generation).toBe(record.generation);
            expect(factsOf(next).completed).toBe(change.checkpoint.checkpointId);
          }
          const dropped = droppedBy(record, next).map(({ checkpointId }) => checkpointId);
          const before = record.checkpoints.map(({ checkpointId }) => checkpointId);
          expect([...dropped, ...ids.filter((id) => before.includes(id))]).toEqual(before);
          record = next;
        }
      }),
    );
  });

  it("change nothing but what they are about", () => {
    fc.assert(
      fc.property(changes, (change) => {
        const record = recordWith();
        const frozen = structuredClone(record);
        const next = changed(record, change);
        expect(record).toEqual(frozen);
        const { incarnation, plan, splits, graphFingerprint, submissionId, createdAtMs } = next;
        expect({ incarnation, plan, splits, graphFingerprint, submissionId, createdAtMs }).toEqual({
          incarnation: frozen.incarnation,
          plan: frozen.plan,
          splits: frozen.splits,
          graphFingerprint: frozen.graphFingerprint,
          submissionId: frozen.submissionId,
          createdAtMs: frozen.createdAtMs,
        });
      }),
    );
  });
});

describe("a decision", () => {
  it.each<JobStatus>(["created", "settling", "finished", "canceled", "suspended", "failed"])(
    "is refused while the job is %s (RC1)",
    (status) => {
      expect(
        refusal(recordWith({ status }), { change: "decision", savepoint: null, checkpoint: checkpointOf(1) }),
      ).toBe(`the job is ${status}`);
    },
  );

  it("counts only in the generation that took the checkpoint (RC1, C5)", () => {
    const decide = (generation: number) =>
      refusal(recordWith({ generation: 3 }), {
        change: "decision",
        savepoint: null,
        checkpoint: checkpointOf(1, generation),
      });
    expect([2, 3, 4].map(decide)).toEqual([
      "generation 3 has taken over",
      undefined,
      "generation 3 has taken over",
    ]);
  });

  it("never goes back, and is never taken twice (C1)", () => {
    const record = recordWith({ checkpoints: [checkpointOf(7)] });
    const decide = (id: number) =>
      refusal(record, { change: "decision", savepoint: null, checkpoint: checkpointOf(id) });
    expect([6, 7, 8].map(decide)).toEqual([
      "a newer checkpoint is already decided",
      "a newer checkpoint is already decided",
      undefined,
    ]);
  });

  it("of the savepoint that a job stops with settles the job, whatever it was about to settle to (RC3, P18)", () => {
    const savepoint = {
      checkpointId: 8,
      generation: 1,
      request: "s1",
      location: "/s",
      completedAtMs: 0,
      bytes: 1,
    };
    const decided = changed(recordWith(), { change: "decision", savepoint, checkpoint: checkpointOf(8) });
    expect(decided).toMatchObject({ status: "settling", settleTo: "stopped", savepoints: [savepoint] });
    expect(changed(decided, { change: "settling", settleTo: "failed" }).settleTo).toBe("stopped");
  });

  it("keeps as many as are retained, newest last (Flink's CheckpointSubsumeHelper)", () => {
    let record = recordWith();
    for (let id = 1; id <= 5; id++)
      record = changed(record, { change: "decision", savepoint: null, checkpoint: checkpointOf(id) });
    expect(record.checkpoints.map(({ checkpointId }) => checkpointId)).toEqual([4, 5]);
  });
});

describe("the decision of the savepoint that a job stops with (RC4)", () => {
  const savepoint = {
    checkpointId: 3,
    generation: 1,
    request: "r",
    location: "/s/a",
    completedAtMs: 0,
    bytes: 1,
  };
  const decide = (record: JobRecord) =>
    changeRecord(record, { change: "decision", checkpoint: checkpointOf(3), savepoint });

  it("stops the job in the same write", () => {
    expect(decide(recordWith())).toMatchObject({
      record: {
        status: "settling",
        settleTo: "stopped",
        savepoints: [savepoint],
        checkpoints: [{ checkpointId: 3 }],
      },
    });
  });

  it("is refused as any other, and then leaves nothing", () => {
    expect(decide(recordWith({ generation: 2 }))).toHaveProperty("refused");
    expect(decide(recordWith({ status: "settling", settleTo: "canceled" }))).toHaveProperty("refused");
  });
});

describe("a savepoint that was begun", () => {
  const location = "/s/a";
  const savepoint = { checkpointId: 3, generation: 1, request: "r", location, completedAtMs: 0, bytes: 1 };
  const begun = changed(recordWith(), { change: "savepoint-begun", location });

  it("is known until it is complete, or nothing of it is left", () => {
    expect(begun.begunSavepoints).toEqual([location]);
    expect(changed(begun, { change: "savepoint", savepoint }).begunSavepoints).toEqual([]);
    const decided = changed(begun, { change: "decision", checkpoint: checkpointOf(3), savepoint });
    expect(decided.begunSavepoints).toEqual([]);
    expect(changed(begun, { change: "savepoint-over", location }).begunSavepoints).toEqual([]);
  });

  it("stays known when another one is complete, and over the end of the job", () => {
    const other = { ...savepoint, location: "/s/b" };
    expect(changed(begun, { change: "savepoint", savepoint: other }).begunSavepoints).toEqual([location]);
    const ended = changed(begun, { change: "terminal", status: "failed", keepsAll: false });
    expect(ended.begunSavepoints).toEqual([location]);
  });

  it("is named with the one that the job has claimed, once a checkpoint of its own is decided", () => {
    const taken = { job: "words", incarnation: "i0", generation: 1, checkpointId: 1 } as const;
    const origin = { location: "/s/b", ...taken, mode: "claim" } as const;
    const decision = { change: "decision", checkpoint: checkpointOf(3), savepoint: null } as const;
    const first = changed({ ...begun, origin }, decision);
    expect(first.begunSavepoints).toEqual([location, "/s/b"]);
    expect(first.origin?.mode).toBe("claimed");
    const next = changed(first, { change: "savepoint-over", location: "/s/b" });
    expect(changed(next, { ...decision, checkpoint: checkpointOf(4) }).begunSavepoints).toEqual([location]);
  });

  it("is one of the latest twenty (P10)", () => {
    let record = recordWith();
    for (let i = 0; i < 30; i++) record = changed(record, { change: "savepoint-begun", location: `/s/${i}` });
    expect(record.begunSavepoints).toEqual(Array.from({ length: 20 }, (_, i) => `/s/${i + 10}`));
  });
});

it("a savepoint and an abort are remembered, the latest ten, and decide nothing (P10)", () => {
  let record = recordWith({ checkpoints: [checkpointOf(1)] });
  const facts = factsOf(record);
  for (let checkpointId = 2; checkpointId < 14; checkpointId++) {
    const savepoint = {
      checkpointId,
      generation: 1,
      request: `r${checkpointId}`,
      location: "/s",
      completedAtMs: 0,
      bytes: 1,
    };
    record = changed(record, { change: "savepoint", savepoint });
    const aborted = {
      checkpointId,
      generation: 1,
      requested: "periodic",
      reason: "expired",
      detail: "",
    } as const;
    record = changed(record, {
      change: "abort",
      aborted: { ...aborted, startedAtMs: 0, abortedAtMs: 1, acknowledged: 0, missing: [] },
    });
  }
  expect(record.savepoints.map(({ checkpointId }) => checkpointId)).toEqual([
    4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
  ]);
  expect(record.aborted.map(({ checkpointId }) => checkpointId)).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
  expect(factsOf(record)).toEqual(facts);
});

describe("a generation", () => {
  const raise = (record: JobRecord, generation: number, completed: number) =>
    changeRecord(record, { change: "generation", generation, regions: [0], nonce: "n2", completed });

  it("is raised only over the checkpoint that its recovery was planned from (RC2, P20)", () => {
    const record = recordWith({ checkpoints: [checkpointOf(7)] });
    expect(raise(record, 2, 6)).toHaveProperty("refused");
    expect(raise(record, 2, 7)).toMatchObject({ record: { generation: 2, nonce: "n2", status: "running" } });
  });

  it("is raised for some regions, one each, and the others keep theirs (RC1, J6)", () => {
    const record = recordWith({ generation: 4, generations: [3, 2, 4] });
    const change = {
      change: "generation",
      generation: 5,
      regions: [0, 2],
      nonce: "n2",
      completed: 0,
    } as const;
    const after = changed(record, change);
    expect(after).toMatchObject({ generation: 6, generations: [5, 2, 6] });
    expect(
      changeRecord(after, { change: "decision", checkpoint: checkpointOf(9, 4), savepoint: null }),
    ).toEqual({
      refused: "generation 6 has taken over",
    });
  });

  it("is never given out twice (RC3, P2)", () => {
    expect(raise(recordWith({ generation: 4 }), 4, 0)).toHaveProperty("refused");
    expect(raise(recordWith({ generation: 4 }), 3, 0)).toHaveProperty("refused");
  });

  it("is above what a worker has seen, and no region has that number (P2)", () => {
    const record = changed(recordWith({ generation: 4, generations: [3, 4] }), {
      change: "generation-seen",
      generation: 9,
    });
    expect(record).toMatchObject({ generation: 9, generations: [3, 4] });
    expect(raise(record, 9, 0)).toHaveProperty("refused");
    expect(raise(record, 10, 0)).toMatchObject({ record: { generation: 10, generations: [10, 4] } });
    expect(changed(record, { change: "generation-seen", generation: 8 })).toEqual(record);
  });

  it("leaves a settling job settling (P18)", () => {
    const settling = recordWith({ status: "settling", settleTo: "canceled" });
    expect(raise(settling, 2, 0)).toMatchObject({ record: { status: "settling", settleTo: "canceled" } });
  });
});

describe("the end", () => {
  const ends = ["finished", "stopped", "canceled", "failed", "suspended"] as const;
  it.each([
    ["delete", [0, 0, 0, 0, 2]],
    ["delete-on-cancellation", [0, 0, 0, 2, 2]],
    ["retain-on-cancellation", [0, 0, 2, 2, 2]],
  ] as const)("with retention %s", (retention, kept) => {
    for (const [index, status] of ends.entries()) {
      const record = recordWith({
        status: "settling",
        settleTo: status,
        checkpoints: [1, 2].map((id) => checkpointOf(id)),
        checkpointing: checkpointingConfig({ retained: 2, retention }),
      });
      const ended = changed(record, { change: "terminal", status, keepsAll: false });
      expect(ended).toMatchObject({ status, settleTo: null });
      expect(ended.checkpoints, status).toHaveLength(kept[index]!);
      expect(droppedBy(record, ended)).toHaveLength(2 - kept[index]!);
      const unsettled = changed(record, { change: "terminal", status, keepsAll: true });
      expect(unsettled.checkpoints).toHaveLength(2);
    }
  });
});

it("keeps the first failure beside the latest ones (P10)", () => {
  let record = recordWith();
  for (let atMs = 1; atMs <= 30; atMs++)
    record = changed(record, {
      change: "failure",
      failure: { atMs, generation: 1, where: "job", reason: "again" },
    });
  expect(record.failures).toHaveLength(10);
  expect(record.failures.map(({ atMs }) => atMs)).toEqual([1, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
});

describe("a write of unknown outcome (P8)", () => {
  const mine = { writeId: "mine", token: 5, revision: 10 };
  it.each([
    ["holds my write: stored", { writeId: "mine", token: 5, revision: 11 }, "stored"],
    [
      "holds my write and was claimed since? then not mine any more",
      { writeId: "other", token: 6, revision: 12 },
      "lost",
    ],
    ["shows a newer token at any revision: lost", { writeId: "other", token: 6, revision: 10 }, "lost"],
    ["is where it was: send the same value again", { writeId: "other", token: 5, revision: 10 }, "open"],
    [
      "is where it was, written by an older leader: mine is still to come",
      { writeId: "other", token: 4, revision: 10 },
      "open",
    ],
    [
      "moved under my own token: read and change again",
      { writeId: "other", token: 5, revision: 11 },
      "moved",
    ],
    [
      "moved under an older token: read and change again",
      { writeId: "other", token: 4, revision: 11 },
      "moved",
    ],
  ] as const)("%s", (_, now, settled) => {
    expect(settleWrite(mine, now)).toBe(settled);
  });
});

describe("a savepoint that its job goes back behind (P59)", () => {
  const savepoint = (checkpointId: number, generation = 1) =>
    ({
      change: "savepoint",
      savepoint: { checkpointId, generation, request: "r", location: "/s", completedAtMs: 0, bytes: 1 },
    }) as const;
  const raised = (generation: number, completed: number) =>
    ({ change: "generation", generation, regions: [0], nonce: "n", completed }) as const;
  const decision = (checkpointId: number, generation: number): RecordChange => ({
    change: "decision",
    savepoint: null,
    checkpoint: checkpointOf(checkpointId, generation),
  });
  const recordAfter = (...all: RecordChange[]) =>
    all.reduce(changed, recordWith({ checkpoints: [checkpointOf(5)] }));
  const fallback = (record: JobRecord, checkpointId: number, generation = 1) =>
    passedOver(record, { incarnation: "i1", generation, checkpointId });

  it("is told with the checkpoint that it went back to, and the first one decided since", () => {
    const back = recordAfter(savepoint(7), raised(2, 5));
    expect(fallback(back, 7)).toMatchObject({ completed: 5, next: null });
    const on = changed(back, decision(8, 2));
    expect(fallback(on, 7)).toMatchObject({ completed: 5, next: 8 });
    expect(fallback(changed(on, decision(9, 2)), 7)).toMatchObject({ next: 8 });
    expect(fallback(on, 7, 2)).toBeUndefined();
    expect(passedOver(on, { incarnation: "i2", generation: 1, checkpointId: 7 })).toBeUndefined();
  });

  it("is none that a checkpoint has followed before the job failed", () => {
    expect(
      fallback(recordAfter(savepoint(7), decision(8, 1), raised(2, 8), decision(9, 2)), 7),
    ).toBeUndefined();
    expect(
      fallback(recordAfter(savepoint(7), raised(2, 5), decision(8, 2), savepoint(9, 2)), 9, 2),
    ).toBeUndefined();
  });

  it("is told after many failures in a row, when it was still being copied, and when newer ones have pushed it out", () => {
    const again = recordAfter(
      savepoint(7),
      raised(2, 5),
      savepoint(8, 2),
      raised(3, 5),
      raised(4, 5),
      decision(9, 4),
    );
    for (const [id, generation] of [
      [7, 1],
      [8, 2],
    ] as const)
      expect(fallback(again, id, generation)).toMatchObject({ completed: 5, next: 9 });
    const copied = recordAfter(
      { change: "savepoint-begun", location: "/s" },
      raised(2, 5),
      decision(8, 2),
      savepoint(7),
    );
    expect(fallback(copied, 7)).toMatchObject({ completed: 5, next: 8 });
    const many = Array.from({ length: 12 }, (_, i) => savepoint(8 + i, 2));
    expect(fallback(recordAfter(savepoint(7), raised(2, 5), ...many, decision(30, 2)), 7)).toMatchObject({
      next: 30,
    });
  });

  it("is remembered through later failures and a disposal; a failure that passed over none is not", () => {
    const on = recordAfter(
      savepoint(7),
      raised(2, 5),
      decision(8, 2),
      raised(3, 8),
      decision(9, 3),
      raised(4, 9),
    );
    expect(fallback(on, 7)).toMatchObject({ completed: 5, next: 8 });
    expect(changed(on, decision(10, 4)).fallbacks).toHaveLength(1);
    const gone = changed({ ...on, status: "canceled" }, { change: "dispose", what: "job", atMs: 9 });
    expect(fallback(gone, 7)).toMatchObject({ completed: 5, next: 8 });
  });
});

describe("what a user disposes of", () => {
  const retained = [checkpointOf(5), checkpointOf(7)];
  const ended = (status: JobStatus) =>
    recordWith({ status, checkpoints: retained, reservedCheckpointId: 2000 });
  const idsAfter = (record: JobRecord, what: "checkpoints" | "job" | number) =>
    changed(record, { change: "dispose", what, atMs: 9 }).checkpoints.map(({ checkpointId }) => checkpointId);

  it("is an older checkpoint, all of them, or everything but the counters", () => {
    for (const status of ["failed", "suspended", "canceled"] as const) {
      expect(idsAfter(ended(status), 5)).toEqual([7]);
      expect(changed(ended(status), { change: "dispose", what: 5, atMs: 9 }).disposed).toBeUndefined();
      expect(changed(ended(status), { change: "dispose", what: "checkpoints", atMs: 9 })).toMatchObject({
        ...{ status, checkpoints: [], disposed: "state" },
      });
      const tombstone = changed(ended(status), { change: "dispose", what: "job", atMs: 9 });
      expect(tombstone).toMatchObject({
        disposed: "job",
        checkpoints: [],
        reservedCheckpointId: 2000,
        generation: 1,
      });
      // Said again, for objects that the first time may have left.
      expect(changed(tombstone, { change: "dispose", what: "job", atMs: 10 })).toBe(tombstone);
      expect(refusal(tombstone, { change: "dispose", what: 5, atMs: 9 })).toMatch("there is no job");
    }
  });

  it("is not the latest one while older ones stay: it is committed (P20)", () => {
    expect(refusal(ended("failed"), { change: "dispose", what: 7, atMs: 9 })).toMatch(
      "checkpoint 7 is the latest one",
    );
    expect(idsAfter(recordWith({ status: "failed", checkpoints: [checkpointOf(7)] }), 7)).toEqual([]);
  });

  it("leaves word of a decided checkpoint whose output may be given up with it, and of no other one (P17)", () => {
    const word = { checkpointId: 7, incarnation: "i1", status: "failed", by: "dispose", atMs: 9 };
    for (const what of ["job", "checkpoints"] as const) {
      const left = changed(ended("failed"), { change: "dispose", what, atMs: 9 });
      expect(left.abandoned).toEqual([word]);
      expect(left.checkpoints).toEqual([]);
      for (const status of ["suspended", "canceled"] as const)
        expect(changed(ended(status), { change: "dispose", what, atMs: 9 }).abandoned).toEqual([]);
    }
    expect(changed(ended("failed"), { change: "dispose", what: 5, atMs: 9 }).abandoned).toEqual([]);
    const twice = changed(ended("failed"), { change: "dispose", what: "checkpoints", atMs: 9 });
    expect(changed(twice, { change: "dispose", what: "job", atMs: 10 }).abandoned).toEqual([word]);
  });

  it("is nothing of a job that lives", () => {
    for (const what of ["job", "checkpoints", 5] as const) {
      const dispose = { change: "dispose", what, atMs: 9 } as const;
      for (const status of ["created", "running"] as const)
        expect(refusal(ended(status), dispose)).toMatch(`is ${status}: end it first`);
      // It cannot be canceled any more, so that is no advice.
      const said = refusal({ ...ended("settling"), settleTo: "suspended" }, dispose);
      expect(said).toMatch("is ending already, and will be suspended: dispose of it then");
      expect(said).not.toMatch("cancel");
    }
  });
});
