/** What to restore, from the facts found in storage: every row of the truth table (P20). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CompletedCheckpoint, Manifest } from "../../../machines/protocol.ts";
import { type ManifestFound, planRecovery } from "../../../machines/recovery.ts";
import {
  completedCheckpoint,
  jobRecord,
  keyedHandle,
  manifestOf,
  subtaskSnapshot,
} from "../../support/job-record.ts";

const checkpoint = completedCheckpoint(7, 3);
const recordWith = (checkpoints: readonly CompletedCheckpoint[]) => jobRecord({ generation: 4, checkpoints });
const snapshot = subtaskSnapshot({
  states: [keyedHandle("count", [])],
  transactions: [{ incarnation: "i1", sink: "out", writer: 0, checkpointId: 7, staged: [], detail: null }],
  finished: true,
});
const manifestWith = (some: Partial<Manifest> = {}) =>
  manifestOf(7, { generation: 3, subtasks: [snapshot], ...some });

const found = (some: Partial<Manifest> = {}): ManifestFound => ({
  found: "manifest",
  manifest: manifestWith(some),
});
const record = recordWith([checkpoint]);
const reasonOf = (facts: ManifestFound | undefined, of = record): string => {
  const plan = planRecovery(of, facts);
  return plan.plan === "stop" ? plan.reason : plan.plan;
};

describe("recovery", () => {
  it("begins at the beginning only when no checkpoint was ever decided", () => {
    expect(planRecovery(recordWith([]), undefined)).toEqual({ plan: "fresh" });
    expect(planRecovery(recordWith([]), found())).toEqual({ plan: "fresh" });
  });

  it("restores the latest checkpoint that the record names", () => {
    const older = { ...checkpoint, checkpointId: 6 };
    const plan = planRecovery(recordWith([older, checkpoint]), found());
    expect(plan).toEqual({ plan: "restore", checkpoint, manifest: manifestWith() });
  });

  it("stops by name, and never falls back to an older one (P20)", () => {
    const both = recordWith([{ ...checkpoint, checkpointId: 6 }, checkpoint]);
    for (const kind of ["missing", "corrupt"] as const) {
      const reason = reasonOf({ found: kind, object: "the-object" }, both);
      expect(reason).toContain("checkpoint 7 of job word-count");
      expect(reason).toContain(kind);
      expect(reason).toContain("the-object");
      expect(reason).toContain("--fresh");
    }
    expect(reasonOf(undefined, both)).toContain("was not read");
  });

  it.each<[string, Partial<Manifest>, string]>([
    ["another checkpoint's", { checkpointId: 6 }, "checkpoint 6"],
    ["another incarnation's (P1)", { incarnation: "i0" }, "incarnation i0"],
    ["another generation's (P2)", { generation: 2 }, "generation 2"],
    ["another graph's", { graphFingerprint: "g0" }, "another job graph"],
  ])("stops when the manifest is %s", (_, some, words) => {
    expect(reasonOf(found(some))).toContain(words);
  });

  it("restores exactly when every fact fits", () => {
    const facts = fc.record({
      decided: fc.boolean(),
      kind: fc.constantFrom("manifest", "missing", "corrupt", "unread"),
      checkpointId: fc.constantFrom(6, 7),
      incarnation: fc.constantFrom("i0", "i1"),
      generation: fc.constantFrom(2, 3),
      graphFingerprint: fc.constantFrom("g0", "g1"),
    });
    fc.assert(
      fc.property(facts, ({ decided, kind, ...some }) => {
        const read =
          kind === "unread"
            ? undefined
            : kind === "manifest"
              ? found(some)
              : ({ found: kind, object: "o" } as ManifestFound);
        const { plan } = planRecovery(decided ? record : recordWith([]), read);
        const fits =
          kind === "manifest" &&
          some.checkpointId === 7 &&
          some.incarnation === "i1" &&
          some.generation === 3 &&
          some.graphFingerprint === "g1";
        expect(plan).toBe(decided ? (fits ? "restore" : "stop") : "fresh");
      }),
      { numRuns: 1000 },
    );
  });
});
