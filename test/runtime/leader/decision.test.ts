/** A checkpoint whose decision is under way, in the real host: what comes meanwhile waits for its outcome (K2, P8). */
import { describe, expect, it } from "vitest";
import { checkpointMachine } from "../../../machines/leader/checkpoints/checkpoint.ts";
import type { Roles } from "../../../machines/roles.ts";
import { type AnswerOf, type EffectHandlers, Host } from "../../../src/runtime/actor.ts";
import { ManualClock, settled } from "../../support/manual-clock.ts";

const ID = "checkpoint/7";
type Decided = AnswerOf<Roles["checkpoint"], "store.decision">;

/** Acknowledged by its one subtask; the manifest is stored, the decision is sent and not answered. */
async function deciding() {
  const log: string[] = [];
  const unhandled: string[] = [];
  const clock = new ManualClock();
  let answer: (event: Decided) => void = () => {};
  const note = (line: string) => () => {
    log.push(line);
  };
  const handlers: EffectHandlers<"checkpoint"> = {
    "send.trigger": note("trigger"),
    "store.savepoint": async () => ({ type: "savepoint.stored" }),
    "store.savepointEntry": async () => ({ type: "record.stored" }),
    "store.manifest": async () => ({ type: "manifest.stored" }),
    "store.decision": () =>
      new Promise<Decided>((resolve) => {
        log.push("deciding");
        answer = resolve;
      }),
    "send.completed": note("completed"),
    "send.aborted": ({ reason }) => {
      log.push(`aborted ${reason}`);
    },
    "release.snapshots": note("released"),
  };
  const host = new Host({
    clock,
    onUnhandled: (_, { type }) => unhandled.push(type),
    onCrash: (error) => {
      throw error;
    },
  });
  host.start({
    id: ID,
    machine: checkpointMachine,
    input: {
      checkpointId: 7,
      generation: 3,
      generations: [3],
      request: { request: "", reason: "periodic", savepoint: null },
      timeoutMs: 1000,
      subtasks: ["count/0"],
    },
    handlers,
    siblings: () => [],
  });
  const fields = { generation: 3, subtask: "count/0" };
  host.send(ID, { type: "subtask.acknowledged", ...fields, checkpointId: 7, finished: false });
  await settled();
  expect(log).toEqual(["trigger", "deciding"]);
  log.length = 0;
  return {
    host,
    log,
    unhandled,
    clock,
    fields,
    answer: async (event: Decided) => {
      answer(event);
      await settled();
    },
  };
}

describe("while a decision's outcome is unknown", () => {
  it("the timeout passes and nothing expires", async () => {
    const { clock, log, host, answer } = await deciding();
    clock.advance(60_000);
    expect(log).toEqual([]);
    await answer({ type: "record.stored" });
    expect(log).toEqual(["completed"]);
    expect(host.state(ID)).toBe("committing");
  });

  it("the generation ends: first the outcome, then the end; nothing is aborted that was decided", async () => {
    const { host, log, unhandled, answer } = await deciding();
    host.send(ID, { type: "checkpoint.canceled" });
    expect(log).toEqual([]);
    await answer({ type: "record.stored" });
    expect(log).toEqual(["completed"]);
    expect(host.has(ID)).toBe(false);
    expect(unhandled).toEqual([]);
  });

  it("a refusal aborts, whatever waited behind it", async () => {
    const { host, log, answer } = await deciding();
    host.send(ID, { type: "checkpoint.canceled" });
    await answer({ type: "record.refused", facts: { completed: 3 } });
    expect(log).toEqual(["aborted job-stopped", "released"]);
    expect(host.has(ID)).toBe(false);
  });

  it("leadership is lost: nothing is sent and nothing is released (P9)", async () => {
    const { host, log, answer, fields } = await deciding();
    host.send(ID, { type: "subtask.committed", ...fields, upTo: 7 });
    await answer({ type: "record.lost" });
    expect(log).toEqual([]);
    expect(host.has(ID)).toBe(false);
  });
});
