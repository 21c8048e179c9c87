/** What a worker's answers say of a generation that was deployed there (P69). */
import { describe, expect, it } from "vitest";
import type { ControlLink } from "../../../../src/control/link.ts";
import type { Deployment, PingAnswer } from "../../../../src/control/messages.ts";
import { createSubjects } from "../../../../src/dataflow/channel/subjects.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { Troubles } from "../../../../src/observe/troubles.ts";
import { LeaderGeneration } from "../../../../src/runtime/leader/generations/leader-generation.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

function generationWhoseWorkerAnswers(answer: object) {
  const clock = new ManualClock();
  const link = { serve: () => ({ close() {} }), tell: async () => answer } as unknown as ControlLink;
  const generation = new LeaderGeneration({
    job: "words",
    region: 1,
    id: 7,
    placement: { "count/0": "w" },
    secret: "of the generation",
    secretOf: () => "of the worker",
    link,
    subjects: createSubjects(),
    storage: new MemoryStorage(),
    clock,
    deployTimeoutMs: 1000,
    troubles: new Troubles(clock),
    receive: () => ({ answer: "accepted" }),
    onError: () => {},
  });
  return { clock, generation, deploy: () => generation.deploy("w", {} as Deployment) };
}

const pinged = (generations: readonly number[]): PingAnswer => ({
  worker: "w",
  generations,
  subtasks: [],
  troubles: [],
});

describe("a deployment", () => {
  it.each(["accepted", "duplicate"])("is taken when the worker answers %s", async (answer) => {
    expect(await generationWhoseWorkerAnswers({ answer }).deploy()).toBeUndefined();
  });

  it("is refused by a worker that has seen a newer generation, with what it has seen", async () => {
    const reason = "it has seen generation 500 of region 1";
    const refusal = await generationWhoseWorkerAnswers({ answer: "stale", reason, seen: 500 }).deploy();
    expect(refusal).toEqual({
      isStale: true,
      seen: 500,
      reason: `worker w does not take generation 7: ${reason}`,
    });
    expect(await generationWhoseWorkerAnswers({ answer: "unknown" }).deploy()).toMatchObject({
      isStale: true,
    });
  });

  it("is refused for the worker's own reason", async () => {
    const refusal = await generationWhoseWorkerAnswers({
      answer: "refused",
      reason: "no such file",
    }).deploy();
    expect(refusal).toMatchObject({ isStale: false, reason: "no such file" });
  });
});

describe("a worker that does not name the generation", () => {
  it.each([[[0, 0]], [[7]], [[0, 500]], [[]]])("has lost it once it has accepted it: %j", async (seen) => {
    const { clock, generation, deploy } = generationWhoseWorkerAnswers({ answer: "accepted" });
    expect(generation.missing("w", pinged(seen), clock.elapsedMs())).toBeUndefined();
    await deploy();
    // It may have answered that before it accepted.
    expect(generation.missing("w", pinged(seen), clock.elapsedMs())).toBeUndefined();
    await clock.pass(1);
    expect(generation.missing("w", pinged(seen), clock.elapsedMs())).toBe("count/0");
  });

  it("has not lost it when it has refused it", async () => {
    const { clock, generation, deploy } = generationWhoseWorkerAnswers({ answer: "refused", reason: "r" });
    await deploy();
    await clock.pass(1);
    expect(generation.missing("w", pinged([0, 0]), clock.elapsedMs())).toBeUndefined();
  });

  it("and names it without its subtasks has lost them", () => {
    const { clock, generation } = generationWhoseWorkerAnswers({ answer: "accepted" });
    expect(generation.missing("w", pinged([0, 7]), clock.elapsedMs())).toBe("count/0");
  });
});
