/**
 * One checkpoint or savepoint that a client asks for by a name, from the first time that it asks until its outcome is
 * forgotten.
 *
 * Owns: whether the request is taken, what becomes of it, what its client hears each time that it asks. Does not own:
 * when its checkpoint begins (checkpointing.ts), how the job ends (job.ts), which words the client gets over the wire
 * (the host).
 *
 * Q1  A request that was taken has one outcome, and its client hears no other one while that is remembered: for ten
 *     minutes (P64).
 * Q2  What is refused at once was not taken: nothing is remembered of it, and it is looked at anew when it is asked
 *     again.
 * Q3  A savepoint that the record names under the request is never taken again, also by a leader that has just begun.
 * Q4  A savepoint with which the job is to end has its outcome with that end, not before. The job does not end with a
 *     savepoint behind which it has decided more: that is committed, and the savepoint does not have it (P38).
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../../effects.ts";
import type { CheckpointReason } from "../../protocol.ts";
import { isTerminal } from "../../record.ts";
import { reasonInWords } from "../../words.ts";
import { endedOtherwise, goneOnBehind, requestRefusal, startedSince, whyAborted } from "./refusals.ts";
import type {
  AskedFacts,
  JobFacts,
  RequestAnswer,
  RequestEffects,
  RequestEvent,
  RequestInput,
} from "./request-events.ts";

interface Context extends RequestInput {
  /** What serves it; 0: none does yet. */
  readonly checkpointId: number;
  readonly location: string | null;
  /** The latest decided checkpoint, when the record named the savepoint. */
  readonly completed: number;
  readonly failure: string;
}

interface Facts {
  readonly context: Context;
  readonly event: RequestEvent;
}

const REMEMBERED_MS = 600_000;

const stops = ({ followedBy }: RequestInput): boolean => followedBy === "stop" || followedBy === "drain";

function refusalOf({ context, event }: Facts): string | undefined {
  return event.type === "request.asked" ? requestRefusal(context, event.facts) : undefined;
}

/** What the event says of the job's end. */
function jobIn({ event }: Facts): Partial<JobFacts & Pick<AskedFacts, "recorded">> {
  if (event.type === "request.asked") return event.facts;
  return event.type === "job.ended" ? { status: event.status, ended: true } : {};
}

/** The job of the savepoint was submitted again, or has gone on behind the savepoint that it was to stop with. */
function isOfAnotherLife(facts: Facts): boolean {
  const { status, recorded } = jobIn(facts);
  if (recorded?.ofThisLife === false) return true;
  // One write decides the savepoint of a stop and that the job is to end. A leader that still claims an ended job
  // knows it by the record.
  return stops(facts.context) && status !== undefined && status !== "settling" && !isTerminal(status);
}

const machine = setup({
  types: {} as { context: Context; events: RequestEvent; input: RequestInput },
  actions: {
    ...declareEffects<RequestEffects>({
      "answer.client": true,
      "tell.checkpointing": true,
      "tell.job": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    noteRecorded: assign(({ event }) => {
      const recorded = event.type === "request.asked" ? event.facts.recorded : null;
      if (recorded === null) return {};
      const { checkpointId, location, completed } = recorded;
      return { checkpointId, location, completed };
    }),
    noteSavepoint: assign(({ event }) => {
      if (event.type !== "checkpoint.decided" && event.type !== "savepoint.recorded") return {};
      const { checkpointId, location } = event;
      return {
        checkpointId,
        location,
        completed: event.type === "checkpoint.decided" ? checkpointId : event.completed,
      };
    }),
    /** The newer checkpoint holds all that this one would have held (P47). */
    noteNewer: assign(({ event }) =>
      event.type === "request.aborted" ? { checkpointId: event.completed } : {},
    ),
    failRefused: assign(({ event }) =>
      event.type === "request.refused" ? { failure: reasonInWords(event.reason) } : {},
    ),
    failAborted: assign(({ event }) =>
      event.type === "request.aborted" ? { failure: whyAborted(event.reason, event.detail, event) } : {},
    ),
    failWithJob: assign(({ event }) =>
      event.type === "job.failed"
        ? { failure: `the job has failed before it (${event.where}: ${event.reason}), and goes on` }
        : {},
    ),
    failUnbegun: assign(({ event }) =>
      event.type === "job.ended"
        ? { failure: `the job is ${event.status}, and it had not begun by then` }
        : {},
    ),
    failLeftAlone: assign(({ context: { job, location } }) => ({ failure: startedSince(job, location) })),
    failGoneOn: assign(({ context: { job, location, completed } }) => ({
      failure: goneOnBehind(job, location, completed),
    })),
    failOtherEnd: assign(({ context, event }) => ({
      failure: endedOtherwise(context.job, context.location, jobIn({ context, event }).status ?? "failed"),
    })),
  },
  guards: {
    recorded: ({ event }) => event.type === "request.asked" && event.facts.recorded !== null,
    refused: (facts) => refusalOf(facts) !== undefined,
    unclaimed: ({ event }) => event.type === "request.asked" && !event.facts.claimed,
    stops: ({ context }) => stops(context),
    cancels: ({ context }) => context.followedBy === "cancel",
    goesOn: ({ context }) => context.followedBy === "go-on",
    subsumed: ({ event }) => event.type === "request.aborted" && event.reason === "subsumed",
    leftAlone: (facts) => isOfAnotherLife(facts),
    goneOn: ({ context }) => context.completed > context.checkpointId,
    endedAsAsked: (facts) =>
      jobIn(facts).status === (facts.context.followedBy === "cancel" ? "canceled" : "stopped"),
    endedOtherwise: (facts) => jobIn(facts).ended === true,
  },
});

const answer = (of: (facts: Facts) => RequestAnswer) =>
  ({ type: "answer.client", params: (facts: Facts) => ({ answer: of(facts) }) }) as const;
const answerPending = answer(() => ({ state: "pending" }));
const answerCompleted = answer(({ context: { checkpointId, location } }) => ({
  state: "completed",
  checkpointId,
  location,
}));
const answerFailed = answer(({ context }) => ({ state: "failed", reason: context.failure }));
const remember = { type: "timer.start", params: { timer: "remembered", ms: REMEMBERED_MS } } as const;
const forget = { type: "timer.cancel", params: { timer: "remembered" } } as const;
const askForCancel = { type: "tell.job", params: { event: { type: "cancel.requested" } } } as const;
const askForStop = {
  type: "tell.job",
  params: ({ context: { request, place, followedBy } }: Facts) => ({
    event: {
      type: "stop.requested",
      request,
      savepoint: place ?? "",
      drain: followedBy === "drain",
    } as const,
  }),
} as const;
const askForCheckpoint = {
  type: "tell.checkpointing",
  params: ({ context: { request, kind, place, followedBy } }: Facts) => {
    const ofSavepoint: CheckpointReason = followedBy === "cancel" ? "cancel" : "savepoint";
    const reason = kind === "checkpoint" ? "manual" : ofSavepoint;
    const savepoint = kind === "checkpoint" ? null : place;
    return { event: { type: "checkpoint.requested", request: { request, reason, savepoint } } as const };
  },
} as const;

export const requestMachine = machine.createMachine({
  id: "request",
  options: { maxIterations: 20 },
  context: ({ input }) => ({ ...input, checkpointId: 0, location: null, completed: 0, failure: "" }),
  initial: "asked",
  states: {
    asked: {
      description: "Not taken yet: a leader that has just begun takes it when it is asked again.",
      entry: remember,
      exit: forget,
      on: {
        "request.asked": [
          { guard: "recorded", target: "judging", actions: "noteRecorded" },
          { guard: "refused", target: "refused" },
          { guard: "unclaimed", actions: answerPending },
          // A full queue answers behind it.
          { guard: "stops", target: "waiting", actions: [askForStop, answerPending] },
          { target: "waiting", actions: [askForCheckpoint, answerPending] },
        ],
        "job.failed": {},
        "job.ended": {},
        "timer.fired": { target: "forgotten" },
      },
    },
    waiting: {
      description: "Taken: its checkpoint waits for its turn, or for the job that drains.",
      on: {
        "request.asked": { actions: answerPending },
        "request.begun": { target: "begun" },
        "request.refused": { target: "remembered.failed", actions: "failRefused" },
        // A stop is dropped with the run that was to serve it; a checkpoint waits for the next one.
        "job.failed": [{ guard: "stops", target: "remembered.failed", actions: "failWithJob" }, {}],
        "job.ended": { target: "remembered.failed", actions: "failUnbegun" },
      },
    },
    begun: {
      description: "Its checkpoint is under way, and tells of its own end, also when the job fails or ends.",
      on: {
        "request.asked": { actions: answerPending },
        "checkpoint.decided": { target: "judging", actions: "noteSavepoint" },
        "savepoint.recorded": { target: "judging", actions: "noteSavepoint" },
        "request.aborted": [
          { guard: "subsumed", target: "judging", actions: "noteNewer" },
          { target: "remembered.failed", actions: "failAborted" },
        ],
        "job.failed": {},
        "job.ended": {},
      },
    },
    judging: {
      description: "The record names what was asked for: has what was to follow happened, too (Q4)?",
      always: [
        { guard: "goesOn", target: "remembered.completed" },
        { guard: "leftAlone", target: "remembered.failed", actions: "failLeftAlone" },
        { guard: "endedAsAsked", target: "remembered.completed" },
        { guard: "endedOtherwise", target: "remembered.failed", actions: "failOtherEnd" },
        { guard: "goneOn", target: "remembered.failed", actions: "failGoneOn" },
        // A leader that has taken over knows of the savepoint, not of what was to follow it.
        { guard: "cancels", target: "awaitingEnd", actions: askForCancel },
        { target: "awaitingEnd" },
      ],
    },
    awaitingEnd: {
      description: "The savepoint is there; its client waits for the end of the job as well (Q4).",
      entry: answerPending,
      on: {
        "request.asked": { target: "judging", actions: "noteRecorded" },
        "job.ended": { target: "judging" },
        "job.failed": {},
      },
    },
    remembered: {
      description: "It has its outcome, which every client hears that asks under its name (Q1).",
      entry: remember,
      initial: "completed",
      on: {
        "job.failed": {},
        "job.ended": {},
        "timer.fired": { target: "forgotten" },
      },
      states: {
        completed: { entry: answerCompleted, on: { "request.asked": { actions: answerCompleted } } },
        failed: { entry: answerFailed, on: { "request.asked": { actions: answerFailed } } },
      },
    },
    refused: {
      type: "final",
      description: "It was not taken (Q2).",
      entry: answer((facts) => ({ state: "refused", reason: refusalOf(facts) ?? "" })),
    },
    forgotten: { type: "final", description: "A client that asks so late is taken for a new one." },
  },
});
