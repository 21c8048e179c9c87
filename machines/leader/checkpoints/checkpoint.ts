/**
 * One checkpoint as an explicit two-phase commit.
 *
 * Owns: the order trigger, acknowledge, manifest, decision, commit of one checkpoint id. Does not own: when a
 * checkpoint is taken (checkpointing.ts), the job record (the host's single writer makes `store.decision` durable).
 *
 * K1  The decision is one compare-and-set on the job record; no sink is told to commit before it has succeeded (C2,
 *     P12).
 * K2  While the decision's outcome is unknown nothing else happens here: no abort, no expiry (P8).
 * K3  After the decision it is only ever committed, by this coordinator or by the one that restores the record (P17).
 * K4  An abort leaves every transaction alone (P14), and deletes nothing that the record could still name (P16).
 * K5  A plain savepoint decides nothing: no sink commits, nothing is recovered from it. The one that a job stops with
 *     is durable before the decision, which then commits its transactions (Flink's synchronous savepoint).
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../../effects.ts";
import type { AbortReason, SubtaskName } from "../../protocol.ts";
import type { CheckpointEffects, CheckpointEvent, CheckpointInput } from "./checkpoint-events.ts";
import { isOfStop } from "./checkpoint-requests.ts";

interface Context extends CheckpointInput {
  readonly acknowledged: readonly SubtaskName[];
  readonly unfinished: boolean;
  readonly committed: readonly SubtaskName[];
  readonly abortReason: AbortReason;
}

const withName = (names: readonly SubtaskName[], name: SubtaskName): readonly SubtaskName[] =>
  names.includes(name) ? names : [...names, name].sort();

const machine = setup({
  types: {} as { context: Context; events: CheckpointEvent; input: CheckpointInput },
  actions: {
    ...declareEffects<CheckpointEffects>({
      "send.trigger": true,
      "store.savepoint": true,
      "store.savepointEntry": true,
      "store.manifest": true,
      "store.decision": true,
      "send.completed": true,
      "send.aborted": true,
      "release.snapshots": true,
      "tell.checkpointing": true,
      "tell.job": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    addAcknowledgement: assign(({ context, event }) =>
      event.type !== "subtask.acknowledged"
        ? {}
        : {
            acknowledged: withName(context.acknowledged, event.subtask),
            unfinished: context.unfinished || !event.finished,
          },
    ),
    addCommitted: assign(({ context, event }) =>
      event.type !== "subtask.committed" ? {} : { committed: withName(context.committed, event.subtask) },
    ),
    abortExpired: assign({ abortReason: "expired" }),
    abortDeclined: assign(({ event }) =>
      event.type === "subtask.declined" ? { abortReason: event.reason } : {},
    ),
    abortSavepoint: assign({ abortReason: "io-exception" }),
    abortManifest: assign({ abortReason: "finalize-failure" }),
    abortStopped: assign({ abortReason: "job-stopped" }),
    abortSubsumed: assign({ abortReason: "subsumed" }),
  },
  guards: {
    otherGeneration: ({ context, event }) =>
      "generation" in event && !context.generations.includes(event.generation),
    otherCheckpoint: ({ context, event }) =>
      "checkpointId" in event && event.checkpointId !== context.checkpointId,
    again: ({ context, event }) =>
      event.type === "subtask.acknowledged" && context.acknowledged.includes(event.subtask),
    unknownSubtask: ({ context, event }) => "subtask" in event && !context.subtasks.includes(event.subtask),
    olderCommit: ({ context, event }) =>
      event.type === "subtask.committed" && event.upTo < context.checkpointId,
    /** Only older checkpoints are subsumed, never a savepoint. */
    notSubsumed: ({ context, event }) =>
      event.type === "checkpoint.subsumed" &&
      (event.checkpointId <= context.checkpointId || context.request.savepoint !== null),
    overtaken: ({ context, event }) =>
      event.type === "record.refused" && event.facts.completed > context.checkpointId,
    savepoint: ({ context }) => context.request.savepoint !== null,
    stopping: ({ context }) => isOfStop(context.request),
    plainSavepoint: ({ context }) => !isOfStop(context.request),
    allAcknowledged: ({ context }) => context.acknowledged.length === context.subtasks.length,
    allCommitted: ({ context }) => context.committed.length === context.subtasks.length,
  },
});

export const checkpointMachine = machine.createMachine({
  id: "checkpoint",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    ...input,
    acknowledged: [],
    unfinished: false,
    committed: [],
    abortReason: "job-stopped",
  }),
  initial: "preparing",
  states: {
    preparing: {
      description: "Barriers are on their way; waiting until every subtask says that its part is durable.",
      entry: [
        { type: "timer.start", params: ({ context }) => ({ timer: "expiry", ms: context.timeoutMs }) },
        {
          type: "send.trigger",
          params: ({ context }) => ({ generation: context.generation, checkpointId: context.checkpointId }),
        },
      ],
      exit: { type: "timer.cancel", params: { timer: "expiry" } },
      always: { guard: "allAcknowledged", target: "persisting" },
      on: {
        "subtask.acknowledged": [
          { guard: "otherGeneration" },
          { guard: "otherCheckpoint" },
          { guard: "unknownSubtask" },
          { guard: "again" },
          { actions: "addAcknowledgement" },
        ],
        "subtask.declined": [
          { guard: "otherGeneration" },
          { guard: "otherCheckpoint" },
          { guard: "unknownSubtask" },
          { target: "aborting", actions: "abortDeclined" },
        ],
        "timer.fired": { target: "aborting", actions: "abortExpired" },
        "checkpoint.canceled": { target: "aborting", actions: "abortStopped" },
        "checkpoint.subsumed": [{ guard: "notSubsumed" }, { target: "aborting", actions: "abortSubsumed" }],
      },
    },
    persisting: {
      description: "Every part is durable: first the manifest that lists them, then the decision (K1).",
      initial: "choosing",
      states: {
        choosing: {
          always: [{ guard: "savepoint", target: "savepoint" }, { target: "manifest" }],
        },
        savepoint: {
          description:
            "A savepoint is made complete in its own place, which nothing of the job's ever deletes.",
          entry: {
            type: "store.savepoint",
            params: ({ context }) => ({ checkpointId: context.checkpointId }),
          },
          on: {
            "savepoint.stored": [{ guard: "plainSavepoint", target: "recording" }, { target: "manifest" }],
            "savepoint.refused": { target: "#checkpoint.aborting", actions: "abortSavepoint" },
          },
        },
        recording: {
          description: "The record remembers the savepoint; that decides nothing (K5).",
          entry: {
            type: "store.savepointEntry",
            params: ({ context }) => ({ checkpointId: context.checkpointId }),
          },
          on: {
            "record.stored": { target: "#checkpoint.recorded" },
            "record.lost": { target: "#checkpoint.deposed" },
          },
        },
        manifest: {
          description: "The manifest, complete in itself, is being made durable.",
          entry: {
            type: "store.manifest",
            params: ({ context }) => ({ checkpointId: context.checkpointId }),
          },
          on: {
            "manifest.stored": { target: "decision" },
            "manifest.refused": { target: "#checkpoint.aborting", actions: "abortManifest" },
            "checkpoint.canceled": { target: "#checkpoint.aborting", actions: "abortStopped" },
          },
        },
        decision: {
          description:
            "The compare-and-set that decides; its unknown outcome is settled, never guessed (P8).",
          entry: {
            type: "store.decision",
            params: ({ context }) => ({
              checkpointId: context.checkpointId,
              allFinished: !context.unfinished,
            }),
          },
          on: {
            "record.stored": { target: "#checkpoint.committing" },
            "record.refused": [
              { guard: "overtaken", target: "#checkpoint.aborting", actions: "abortSubsumed" },
              { target: "#checkpoint.aborting", actions: "abortStopped" },
            ],
            "record.lost": { target: "#checkpoint.deposed" },
          },
        },
      },
    },
    committing: {
      description: "Decided. Every sink commits, oldest transaction first, until it is done (P17).",
      entry: [
        {
          type: "send.completed",
          params: ({ context }) => ({ generation: context.generation, checkpointId: context.checkpointId }),
        },
        {
          type: "tell.checkpointing",
          params: ({ context }) => ({
            event: {
              type: "checkpoint.completed",
              checkpointId: context.checkpointId,
              allFinished: !context.unfinished,
            },
          }),
        },
        {
          type: "tell.job",
          params: ({ context }) => ({
            event: {
              type: "checkpoint.completed",
              checkpointId: context.checkpointId,
              reason: context.request.reason,
              allFinished: !context.unfinished,
            },
          }),
        },
      ],
      always: { guard: "allCommitted", target: "completed" },
      on: {
        "subtask.committed": [
          { guard: "otherGeneration" },
          { guard: "unknownSubtask" },
          { guard: "olderCommit" },
          { actions: "addCommitted" },
        ],
        "checkpoint.canceled": { target: "handedOver" },
        // It came while the decision was under way: a later checkpoint is decided, too.
        "checkpoint.subsumed": {},
      },
    },
    recorded: {
      description: "The savepoint is complete and its user's. Its transactions wait for a checkpoint (K5).",
      entry: {
        type: "tell.checkpointing",
        params: ({ context }) => ({
          event: { type: "checkpoint.completed", checkpointId: context.checkpointId, allFinished: false },
        }),
      },
      always: { target: "completed" },
    },
    completed: { type: "final", description: "Committed everywhere." },
    handedOver: {
      type: "final",
      description:
        "Decided, and its generation is over: the next one commits it before its sources start (P17).",
    },
    aborting: {
      description: "Given up before any decision. Only its own snapshots go (K4).",
      entry: [
        {
          type: "send.aborted",
          params: ({ context }) => ({
            generation: context.generation,
            checkpointId: context.checkpointId,
            reason: context.abortReason,
          }),
        },
        { type: "release.snapshots", params: ({ context }) => ({ checkpointId: context.checkpointId }) },
        {
          type: "tell.checkpointing",
          params: ({ context }) => ({
            event: {
              type: "checkpoint.aborted",
              checkpointId: context.checkpointId,
              reason: context.abortReason,
            },
          }),
        },
      ],
      always: [
        {
          guard: "stopping",
          target: "aborted",
          actions: {
            type: "tell.job",
            params: ({ context }) => ({
              event: {
                type: "stop.failed",
                request: context.request.request,
                reason: context.abortReason,
              },
            }),
          },
        },
        { target: "aborted" },
      ],
    },
    aborted: { type: "final", description: "Its barriers, where they still arrive, mean nothing any more." },
    deposed: {
      type: "final",
      description: "Another leader has taken over: sends nothing, deletes nothing (P9).",
    },
  },
});
