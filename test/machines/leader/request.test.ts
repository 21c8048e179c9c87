/** One request of a client. A trace changes only with the protocol: update one only if you can say why. */
import { requestMachine } from "../../../machines/leader/requests/request.ts";
import type {
  AskedFacts,
  RequestEvent,
  RequestInput,
} from "../../../machines/leader/requests/request-events.ts";
import type { JobStatus } from "../../../machines/protocol.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: RequestEvent) => ({ event });
const asked = (some: Partial<AskedFacts> = {}) =>
  take({
    type: "request.asked",
    facts: {
      status: "running",
      settleTo: null,
      phase: "running.processing",
      ended: false,
      savepoint: null,
      retained: false,
      claimed: true,
      unusable: null,
      recorded: null,
      ...some,
    },
  });
const SAVEPOINT = { request: "r", checkpointId: 7, location: "/to/7" } as const;
const recorded = { checkpointId: 7, location: "/to/7", ofThisLife: true, completed: 6 } as const;
const begun = take({ type: "request.begun", request: "r" });
const stored = take({ type: "savepoint.recorded", ...SAVEPOINT, completed: 6 });
const storedLate = take({ type: "savepoint.recorded", ...SAVEPOINT, completed: 8 });
const decided = take({ type: "checkpoint.decided", ...SAVEPOINT });
const refused = take({ type: "request.refused", reason: "too-many-requests" });
const aborted = (some: Partial<Extract<RequestEvent, { type: "request.aborted" }>> = {}) =>
  take({
    type: "request.aborted",
    request: "r",
    reason: "expired",
    detail: "waited for count/0",
    completed: 6,
    phase: "running.processing",
    settleTo: null,
    ...some,
  });
const failed = take({ type: "job.failed", where: "count/0", reason: "division by zero" });
const ended = (status: JobStatus) => take({ type: "job.ended", status });
const forgotten = take({ type: "timer.fired", timer: "remembered" });

const story = (
  title: string,
  followedBy: RequestInput["followedBy"],
  steps: Scenario["steps"],
  some: Partial<RequestInput> = {},
): Scenario => ({
  title,
  actors: {
    request: {
      machine: requestMachine,
      input: { job: "words", request: "r", kind: "savepoint", place: "/to", followedBy, ...some },
    },
  },
  steps,
});

describeTraces({
  machine: requestMachine,
  scenarios: {
    savepoint: story("A savepoint, from its request until that is forgotten.   (Q1, P64)", "go-on", [
      asked(),
      asked(),
      begun,
      "The generation fails: what has begun tells of its own end.",
      failed,
      asked(),
      stored,
      "The client has lost the answer, and the job has failed and ended since.",
      asked(),
      failed,
      ended("failed"),
      asked({ status: "failed", phase: "", ended: true }),
      forgotten,
    ]),
    checkpoint: story(
      "A checkpoint that a newer one subsumes: its client hears of the newer one.   (P47)",
      "go-on",
      [asked(), begun, aborted({ reason: "subsumed", completed: 8 }), asked()],
      { kind: "checkpoint", place: null },
    ),
    unclaimed: story("A leader that has just begun takes it when it is asked again.   (P64)", "go-on", [
      asked({ status: "created", phase: "claiming", claimed: false }),
      failed,
      ended("finished"),
      asked(),
      "A checkpoint that waits its turn waits for the next run, too.",
      failed,
    ]),
    "unclaimed-given-up": story("Its client has gone before the leader could take it.   (Q1)", "go-on", [
      asked({ status: "created", phase: "claiming", claimed: false }),
      forgotten,
    ]),
    refused: story("What cannot be taken is refused at once, and nothing is remembered.   (Q2)", "stop", [
      asked({ phase: "backingOff" }),
    ]),
    "queue-full": story(
      "Too many wait: it has failed before its client has heard anything.   (Q1)",
      "go-on",
      [asked(), refused, asked()],
    ),
    aborted: story("Its checkpoint is given up.   (Q1)", "go-on", [asked(), begun, aborted(), asked()]),
    "job-ends": story("The job ends before its turn has come.   (Q1)", "go-on", [
      asked(),
      ended("canceled"),
      asked({ status: "canceled", phase: "", ended: true }),
    ]),
    "begun-job-ends": story("The job ends, and what has begun is given up by that.   (Q1)", "go-on", [
      asked(),
      begun,
      ended("canceled"),
      aborted({ reason: "job-stopped", settleTo: "canceled" }),
    ]),
    stop: story("A stop: its outcome comes with the job's end.   (Q4, P18)", "stop", [
      asked(),
      begun,
      decided,
      asked({ status: "settling", settleTo: "stopped", phase: "settling.committing", recorded }),
      ended("stopped"),
      asked({ status: "stopped", phase: "", ended: true, recorded }),
    ]),
    "stop-fails": story("The job fails before the stop's turn: it goes on.   (G2, J6)", "drain", [
      asked(),
      failed,
      asked(),
    ]),
    "stop-of-a-failed-job": story(
      "The savepoint is there, and the job fails while it settles.   (Q4)",
      "stop",
      [asked(), begun, decided, failed, ended("failed")],
    ),
    cancel: story(
      "A savepoint before a cancel: the job is canceled once the record names it.   (Q4)",
      "cancel",
      [
        asked(),
        begun,
        stored,
        "A leader that has not heard it hears it again.",
        asked({ recorded }),
        asked({ status: "canceled", phase: "", ended: true, recorded }),
      ],
    ),
    "next-leader": story("The leader before has taken the savepoint: none is taken again.   (Q3)", "cancel", [
      asked({ recorded }),
      ended("canceled"),
    ]),
    "gone-on": story(
      "The job fails while it is stored, and decides more before it is: it is not canceled.   (Q4, P38)",
      "cancel",
      [asked(), begun, failed, storedLate, asked({ recorded: { ...recorded, completed: 8 } })],
    ),
    "next-leader-gone-on": story(
      "The leader before has taken the savepoint, and the job has gone on behind it.   (Q4, P38)",
      "cancel",
      [asked({ recorded: { ...recorded, completed: 8 } })],
    ),
    "started-since": story("The job was submitted again since: that one is left alone.   (Q3)", "cancel", [
      asked({ recorded: { ...recorded, ofThisLife: false } }),
    ]),
  },
});
