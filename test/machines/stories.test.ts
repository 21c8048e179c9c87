/**
 * What several machines do together: the leader's (job, restart, checkpointing, checkpoint) and a worker's (alignment,
 * subtask, sink transactions). A trace changes only with the protocol: update one only if you can say why.
 */
import { describe, test } from "vitest";
import type { AnyStateMachine } from "xstate";
import { checkpointMachine } from "../../machines/leader/checkpoints/checkpoint.ts";
import { checkpointingMachine } from "../../machines/leader/checkpoints/checkpointing.ts";
import { jobMachine } from "../../machines/leader/job.ts";
import type { RecordFacts } from "../../machines/leader/job-events.ts";
import { restartMachine } from "../../machines/leader/restart.ts";
import { inputOf, madeOf, toldActors, wireInside } from "../../machines/wiring.ts";
import { alignmentMachine } from "../../machines/worker/alignment.ts";
import { sinkTransactionMachine } from "../../machines/worker/sink-transaction.ts";
import { subtaskMachine } from "../../machines/worker/subtask.ts";
import { checkpointingInput } from "../../src/runtime/leader/checkpoints/checkpointing-input.ts";
import type { Outcome } from "../model/composition.ts";
import type { Event } from "../model/process.ts";
import type { MachineEffect } from "../model/pure-machine.ts";
import { barrierOptions } from "../support/checkpoint-options.ts";
import { checkpointingConfig } from "../support/job-record.ts";
import { expectStory } from "./golden.ts";
import type { Scenario, ScenarioEvent } from "./trace.ts";

const to = (actor: string, type: string, fields: object = {}): ScenarioEvent => ({
  to: actor,
  event: { type, ...fields },
});

/* ------------------------------------------------------------------ the leader */

const subtasks = ["count/0", "lines/0"];
const OPTIONS = checkpointingConfig({ intervalMs: 1000 });

/** What job-runtime.ts does with the effects that reach a sibling. */
function leaderRoute(
  actors: () => readonly string[],
  note: (actor: string) => void,
  generation: () => number,
) {
  return ({ type, params }: MachineEffect, from: string): readonly Outcome<never>[] | undefined => {
    const role = from.split("/", 1)[0]!;
    const create = (actor: string, machine: AnyStateMachine, input: unknown): Outcome<never> => {
      note(actor);
      return { kind: "create", actor, machine, input };
    };
    switch (type) {
      case "start.policies":
        return [
          create("restart", restartMachine, {
            strategy: { strategy: "fixed-delay", attempts: 1, delayMs: 1000 },
          }),
          create(
            "checkpointing",
            checkpointingMachine,
            inputOf("checkpointing", params as never, { ...checkpointingInput(OPTIONS), chance: 0 }),
          ),
        ];
      case "start.checkpoint":
        return [
          create(
            `checkpoint/${params.checkpointId}`,
            checkpointMachine,
            inputOf("checkpoint", params as never, {
              generation: generation(),
              generations: [generation()],
              timeoutMs: 600_000,
              subtasks,
            }),
          ),
        ];
      default: {
        if (type.startsWith("tell."))
          return toldActors(role, type, params, (of) =>
            actors().filter((actor) => actor.startsWith(`${of}/`)),
          ).map((actor) => ({ kind: "tell", actor, event: params.event as Event }));
        const wire = wireInside(role, type);
        return wire?.to.map((actor) => ({
          kind: "tell",
          actor,
          event: madeOf(wire, params, { atMs: 0, chance: 0 }),
        }));
      }
    }
  };
}

function leader(title: string, steps: Scenario["steps"]): Scenario {
  const actors: string[] = [];
  let generation = 0;
  const route = leaderRoute(
    () => actors,
    (actor) => actors.push(actor),
    () => generation,
  );
  return {
    title,
    actors: {
      job: {
        machine: jobMachine,
        input: { regions: [subtasks], deployTimeoutMs: 120_000, settleRetryMs: 500 },
      },
    },
    route: (effect, from) => {
      if (effect.type === "send.deployment") [generation] = effect.params.generations as [number];
      return route(effect, from);
    },
    steps,
  };
}

const stored = (some: Partial<RecordFacts>) =>
  to("job", "record.stored", {
    facts: {
      generation: 1,
      generations: some.generation === 0 ? [] : [some.generation ?? 1],
      status: "running",
      settleTo: null,
      reservedCheckpointId: 1000,
      completed: 0,
      allFinished: false,
      ...some,
    },
  });
const restored = (subtask: string, generation = 1) => to("job", "subtask.restored", { generation, subtask });
const ended = (subtask: string) => to("job", "subtask.ended", { generation: 1, subtask });
const failed = to("job", "subtask.failed", {
  generation: 1,
  subtask: "count/0",
  reason: "division by zero",
  retry: "restart",
});
const acknowledged = (checkpointId: number, subtask: string, finished = false) =>
  to(`checkpoint/${checkpointId}`, "subtask.acknowledged", {
    generation: 1,
    checkpointId,
    subtask,
    finished,
  });
const acknowledgements = (checkpointId: number, finished = false) =>
  subtasks.map((subtask) => acknowledged(checkpointId, subtask, finished));
const manifest = (checkpointId: number) => to(`checkpoint/${checkpointId}`, "manifest.stored");
const decided = (checkpointId: number) => to(`checkpoint/${checkpointId}`, "record.stored");
const committed = (checkpointId: number, subtask: string) => {
  const fields = { generation: 1, subtask, upTo: checkpointId };
  return [
    to(`checkpoint/${checkpointId}`, "subtask.committed", fields),
    to("job", "subtask.committed", fields),
  ];
};
const interval = to("checkpointing", "timer.fired", { timer: "trigger" });
const reserved = to("checkpointing", "record.stored");
const running = [
  stored({ generation: 0, status: "created", reservedCheckpointId: 0 }),
  to("job", "recovery.planned"),
  to("job", "slots.available"),
  stored({}),
  restored("lines/0"),
  restored("count/0"),
];

describe("the leader of a job", () => {
  test("a checkpoint from its trigger to its last commit", () =>
    expectStory(
      "leader.checkpoint",
      leader(
        "Two-phase commit as the leader sees it: trigger, acknowledge, decide, commit.   (P12, P13, P17, C2)",
        [
          "A job begins to run.",
          ...running,
          "The interval has passed; ids are reserved, the barriers leave.",
          interval,
          reserved,
          "Every subtask is durable, then the manifest, then the record: the decision.",
          ...acknowledgements(1),
          manifest(1),
          decided(1),
          "Commits are reported as long as it takes.",
          ...committed(1, "lines/0"),
          to("job", "subtask.committed", { generation: 1, subtask: "count/0", upTo: 1 }),
          to("checkpoint/1", "subtask.committed", { generation: 1, subtask: "count/0", upTo: 1 }),
        ],
      ),
    ));

  test("a failure while a checkpoint is prepared", () =>
    expectStory(
      "leader.failure-while-preparing",
      leader(
        "A subtask dies before the decision: checkpoint 1 aborts, the next generation goes on with id 2.   (P2, P3, P14)",
        [
          ...running,
          interval,
          reserved,
          acknowledged(1, "lines/0"),
          failed,
          to("job", "timer.fired", { timer: "restart" }),
          to("job", "recovery.planned"),
          to("job", "slots.available"),
          stored({ generation: 2 }),
          restored("lines/0", 2),
          restored("count/0", 2),
          interval,
        ],
      ),
    ));

  test("a failure while a checkpoint is decided", () =>
    expectStory(
      "leader.failure-while-deciding",
      leader("A subtask dies while the decision's outcome is unknown: nothing is guessed.   (P8, P17, D2)", [
        ...running,
        interval,
        reserved,
        ...acknowledgements(1),
        "The compare-and-set has been sent and is not answered. The host holds this actor.",
        manifest(1),
        "The outcome is settled first: decided. The job learns it, so recovery is planned from checkpoint 1.",
        decided(1),
        failed,
        to("job", "timer.fired", { timer: "restart" }),
      ]),
    ));

  test("the end of a bounded job", () =>
    expectStory(
      "leader.final-checkpoint",
      leader(
        "The final checkpoint expires, is repeated, completes, and is committed before the end.   (P18, P19)",
        [
          ...running,
          ended("lines/0"),
          ended("count/0"),
          reserved,
          to("checkpoint/1", "timer.fired", { timer: "expiry" }),
          "Again, after a moment, with the next id.",
          to("checkpointing", "timer.fired", { timer: "retry" }),
          ...acknowledgements(2, true),
          manifest(2),
          decided(2),
          to("job", "subtask.committed", { generation: 1, subtask: "count/0", upTo: 2 }),
          stored({ status: "settling", settleTo: "finished", completed: 2, allFinished: true }),
          to("job", "subtask.committed", { generation: 1, subtask: "lines/0", upTo: 2 }),
          stored({ status: "finished" }),
        ],
      ),
    ));

  test("cancellation with commits outstanding", () =>
    expectStory(
      "leader.cancel",
      leader("Canceled while checkpoint 1 is being committed: settled first.   (P17, P18)", [
        ...running,
        interval,
        reserved,
        ...acknowledgements(1),
        manifest(1),
        decided(1),
        ...committed(1, "lines/0"),
        to("job", "cancel.requested"),
        stored({ status: "settling", settleTo: "canceled", completed: 1 }),
        to("job", "subtask.committed", { generation: 1, subtask: "count/0", upTo: 1 }),
        stored({ status: "canceled" }),
      ]),
    ));

  test("suspension", () =>
    expectStory(
      "leader.suspend",
      leader("Ctrl-C: one more checkpoint, settle, suspended.   (P18, P30)", [
        ...running,
        to("job", "suspend.requested", { boundMs: 20_000 }),
        reserved,
        ...acknowledgements(1),
        manifest(1),
        decided(1),
        stored({ status: "settling", settleTo: "suspended", completed: 1 }),
        to("job", "subtask.committed", { generation: 1, subtask: "lines/0", upTo: 1 }),
        to("job", "subtask.committed", { generation: 1, subtask: "count/0", upTo: 1 }),
        stored({ status: "suspended", completed: 1 }),
      ]),
    ));

  test("the second failure is one too many", () =>
    expectStory(
      "leader.restart-denied",
      leader("fixed-delay with one attempt: the second failure ends the job, through settling.   (P18, R1)", [
        ...running,
        failed,
        to("job", "timer.fired", { timer: "restart" }),
        to("job", "recovery.planned"),
        to("job", "slots.available"),
        stored({ generation: 2 }),
        restored("lines/0", 2),
        restored("count/0", 2),
        to("job", "worker.lost", { generations: [2], worker: "w1", reason: "nothing answers to its name" }),
        "Nothing was ever decided, so there is nothing to commit.",
        stored({ generation: 2, status: "settling", settleTo: "failed" }),
        stored({ generation: 2, status: "failed" }),
      ]),
    ));
});

/* ------------------------------------------------------------------ a worker */

/** What subtask.ts and sink-transactions.ts do with the effects that reach a sibling. */
function worker(
  title: string,
  {
    restoredTransactions = [],
    channels = 2,
  }: { restoredTransactions?: readonly number[]; channels?: number },
  steps: Scenario["steps"],
): Scenario {
  const restoredCheckpointId = restoredTransactions.at(-1) ?? 0;
  const transaction = (restored: string | null) => ({
    machine: sinkTransactionMachine,
    input: { restored, retryMs: 200 },
  });
  return {
    title,
    actors: {
      alignment: { machine: alignmentMachine, input: { generation: 3, channels, restoredCheckpointId } },
      subtask: {
        machine: subtaskMachine,
        input: { subtask: "count/0", generation: 3, restoredCheckpointId, finished: false, source: false },
      },
      ...Object.fromEntries(restoredTransactions.map((id) => [`out@${id}`, transaction(`out@${id}`)])),
    },
    route: ({ type, params }) => {
      if (type === "cut.transactions") {
        const name = `out@${params.checkpointId}`;
        return [
          { kind: "create", actor: name, ...transaction(null) },
          { kind: "tell", actor: name, event: { type: "barrier.reached", transaction: name } as Event },
          {
            kind: "tell",
            actor: "subtask",
            event: {
              type: "transactions.cut",
              checkpointId: params.checkpointId,
              transactions: [name],
            } as Event,
            // H5
            first: true,
          },
        ];
      }
      if (type === "tell.transaction")
        return [{ kind: "tell", actor: String(params.transaction), event: params.event as Event }];
      return undefined;
    },
    steps,
  };
}

const barrier = (channel: number, checkpointId: number) =>
  to("alignment", "barrier.received", { channel, checkpointId, options: barrierOptions() });
/** The worker gives it to both, in this order. */
const aborted = (checkpointId: number) => [
  to("alignment", "checkpoint.aborted", { generation: 3, checkpointId }),
  to("subtask", "checkpoint.aborted", { generation: 3, checkpointId }),
];
const completed = (checkpointId: number) =>
  to("subtask", "checkpoint.completed", { generation: 3, checkpointId });
const uploaded = (checkpointId: number) => to("subtask", "snapshot.stored", { checkpointId });
const staged = (checkpointId: number) => to(`out@${checkpointId}`, "transaction.staged");
const visible = (checkpointId: number) => to(`out@${checkpointId}`, "transaction.committed");
const started = [
  to("subtask", "state.restored", { transactions: [] }),
  to("subtask", "generation.started", { generation: 3 }),
];

describe("a worker's subtask", () => {
  test("a checkpoint from its barriers to its commit", () =>
    expectStory(
      "worker.checkpoint",
      worker("Align, cut, forward, snapshot, acknowledge, commit.   (A1, S1, S2, P13, P17, C2, C4)", {}, [
        ...started,
        barrier(0, 7),
        "The last barrier. Everything up to the snapshot happens before the channels flow again.",
        barrier(1, 7),
        uploaded(7),
        staged(7),
        "Decided.",
        completed(7),
        "The target does not answer at first.",
        to("out@7", "commit.failed", { reason: "no answer within 5 s" }),
        to("out@7", "timer.fired", { timer: "commit" }),
        visible(7),
      ]),
    ));

  test("an abort while aligning, then the next checkpoint", () =>
    expectStory(
      "worker.abort-while-aligning",
      worker("An abort while aligning: nothing was cut, nothing is acknowledged.   (A1, P14)", {}, [
        ...started,
        barrier(0, 7),
        ...aborted(7),
        "The barrier of the aborted checkpoint comes in late.",
        barrier(1, 7),
        barrier(1, 8),
        barrier(0, 8),
      ]),
    ));

  test("a newer barrier while the snapshot is under way", () =>
    expectStory(
      "worker.superseded",
      worker(
        "A newer checkpoint arrives before the older one is durable; no transaction is lost.   (S2, P4, P14)",
        {},
        [
          ...started,
          barrier(0, 7),
          barrier(1, 7),
          "The abort of 7 was lost on the way; its successor comes over the channels, and waits for it.",
          barrier(0, 8),
          barrier(1, 8),
          uploaded(8),
          staged(8),
          "8 lists out@7 as well, so it waits for it.",
          staged(7),
          completed(8),
          visible(7),
          visible(8),
        ],
      ),
    ));

  test("restore with decided transactions", () =>
    expectStory(
      "worker.restore",
      worker(
        "Two decided transactions are committed, oldest first, before any record flows.   (S3, S4, P17, C3)",
        { restoredTransactions: [5, 6] },
        [
          to("subtask", "state.restored", {
            transactions: [
              { transaction: "out@5", checkpointId: 5 },
              { transaction: "out@6", checkpointId: 6 },
            ],
          }),
          "An answer that says committed already is as good.",
          visible(5),
          visible(6),
          to("subtask", "generation.started", { generation: 3 }),
        ],
      ),
    ));

  test("a commit that can never succeed", () =>
    expectStory(
      "worker.commit-refused",
      worker("A commit is refused for good: the job stops resumably, out@7 stays decided.   (P17, P24)", {}, [
        ...started,
        barrier(0, 7),
        barrier(1, 7),
        uploaded(7),
        staged(7),
        completed(7),
        to("out@7", "commit.refused", { reason: "stream OUT was deleted" }),
      ]),
    ));

  test("a transaction that cannot be made durable", () =>
    expectStory(
      "worker.staging-failed",
      worker("What cannot be made durable was never acknowledged: the generation fails.   (P13, P14)", {}, [
        ...started,
        barrier(0, 7),
        barrier(1, 7),
        uploaded(7),
        to("out@7", "staging.failed", { reason: "the disk is gone" }),
      ]),
    ));
});
