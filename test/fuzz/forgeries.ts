/**
 * Control messages that no process has sent: each type that there is, with values at the edges in it.
 *
 * A forgery is never what a user means: it is whole now and then, but for what only its sender can know, the seal or
 * the leader's nonce; else at least one of the fields that decide what it is about is not as it would be. So a forgery
 * may be dropped or refused, and nothing else may become of it.
 */
import type {
  GenerationRequest,
  LeaderAnswer,
  LeaderRequest,
  PingAnswer,
  StandbyRequest,
  SubtaskMessage,
  WorkerRequest,
} from "../../src/control/messages.ts";
import type { Random } from "../chaos/random.ts";
import { at, changed, leavesOf } from "../formats/wrong-values.ts";
import { EDGE_PLACES, EDGES } from "./edges.ts";

/** What a forgery is about, as far as an onlooker can tell. */
export interface Known {
  readonly job: string;
  readonly generation: number;
  readonly checkpointId: number;
  readonly worker: string;
}

type Path = ReturnType<typeof leavesOf>[number];
export type Fields = Readonly<Record<string, unknown>>;
type RequestType = (
  | LeaderRequest
  | StandbyRequest
  | WorkerRequest
  | GenerationRequest
  | SubtaskMessage
)["type"];
type AnswerWord = LeaderAnswer["answer"];

/** In words, or made up by the sender: another text there is as good. */
const FREE = new Set([
  "reason",
  "detail",
  "host",
  "place",
  "path",
  "obstacle",
  "request",
  "requestId",
  "what",
  "secret",
  "life",
  "nonce",
]);

const subtask = "count/0";
const secret = "no secret of a worker";
/** What any client may send, but for the nonce. */
const asked = { secret, meant: { life: "forged", nonce: "1 forged" } };
const handle = { name: "fuzzed/1/1/forged", bytes: 1, digest: `sha256:${"0".repeat(64)}` };
const directory = {
  ...{ host: "stranger", path: "/nowhere", note: "note", secret: "secret", read: "" },
  obstacle: null,
};
const restore = { location: "checkpoint:fuzzed/1", mode: "no-claim", drop: ["count"], writeAgain: true };
const standing = { status: "active", watermark: 1, sinceMs: 0 };
const report = {
  ...{ subtask, generation: 1, state: "running", recordsIn: 1, skipped: null },
  operators: [{ operator: "count", figures: { late: 1 } }],
  checkpoints: [{ checkpointId: 1, phase: "aligning", missingChannels: ["read/0"] }],
  paused: { splits: ["0"], pausedMs: 1, byDefault: true },
  hotKeys: { mayCombine: true, keys: [{ key: "forged", keyGroup: 1, perMille: 200 }] },
  eventTime: {
    ...{ ...standing, makesWatermarks: true },
    holds: [{ from: "read/0", watermark: null, sinceMs: 0, reason: "upstream" }],
  },
};

function submissionOf({ job }: Known): Fields {
  const operator = { id: "read", kind: "source", inputs: [{ from: "read" }] };
  return {
    ...{ job, submissionId: "forged", graphFingerprint: "g", codeFingerprint: "c", storage: null },
    ...{ fixesMaxParallelism: true },
    plan: {
      vertices: [{ id: "read", parallelism: 2, operators: [operator] }],
      edges: [{ id: "e", from: "read", to: "read", partitioner: "hash" }],
      maxParallelism: 128,
    },
    codeListing: { files: [["job.ts", "0"]], packages: ["x@1"], unlisted: 0 },
    checkpointing: {
      ...{ mode: "exactly-once", intervalMs: 500, timeoutMs: 1000, minPauseMs: 0, maxConcurrent: 1 },
      ...{ tolerableFailures: null, retention: "delete", retained: 1, unaligned: false },
      ...{
        alignedTimeoutMs: 0,
        incremental: true,
        afterTasksFinish: true,
        savepointDirectory: null,
        savepointTimeoutMs: 1000,
      },
      ...{ iterations: "exact", readyTimeoutMs: 1000 },
    },
    restart: { strategy: "fixed-delay", attempts: 1, delayMs: 1 },
    heartbeat: { pingIntervalMs: 500, timeoutMs: 1000 },
    splits: { read: [{ id: "0" }] },
  };
}

const look = { kind: "key", operator: "count", state: "count", key: "a" };

/** Whole ones, but for what only their senders know. */
const requests: { readonly [type in RequestType]: (known: Known) => Fields } = {
  "worker.register": ({ job, worker }) => ({
    ...{
      job,
      worker,
      codeFingerprint: "c",
      slots: 1,
      processId: 1,
      host: "stranger",
    },
    ...{ storage: "forged", directory, secret, inbox: "_INBOX.stranger", nth: 1 },
  }),
  "standby.prove": () => ({
    coordinator: "stranger",
    secret,
    place: "nowhere",
    storage: "forged",
    directory,
  }),
  "job.submit": (known) => ({ ...asked, submission: submissionOf(known), fresh: true, restore }),
  "job.rehearse": (known) => ({ secret, submission: submissionOf(known), fresh: true, restore }),
  "worker.crashed": ({ job, worker }) => ({ job, worker, secret, reason: "forged" }),
  "job.status": ({ job }) => ({ job, secret }),
  "job.state": ({ job }) => ({ job, secret, look }),
  "job.cancel": ({ job }) => ({ job, ...asked }),
  "job.suspend": ({ job }) => ({ job, ...asked }),
  "job.snapshot": ({ job }) => ({
    ...asked,
    ...{ job, request: "forged", kind: "savepoint", directory: "nats:forged", followedBy: "go-on" },
  }),
  "job.rescale": ({ job }) => ({
    ...{ job, ...asked, request: "forged" },
    ...{ parallelism: 2, operators: { read: 1 } },
  }),
  "job.gc": ({ job }) => ({ job, ...asked, requestId: "forged" }),
  "job.dispose": ({ job }) => ({ job, ...asked, requestId: "forged", what: "job" }),
  "worker.ping": () => ({}),
  "worker.state": () => ({ look }),
  "worker.plan": () => ({ parallelism: 2, operators: { read: 1 }, maxParallelism: 128 }),
  "generation.deploy": ({ job, generation, checkpointId, worker }) => ({
    deployment: {
      ...{
        job,
        incarnation: "forged",
        region: 0,
        generation,
        nonce: "forged",
        placement: { [subtask]: worker },
      },
      ...{ splits: { read: [{ id: "0" }] }, parallelism: { read: 1 }, planSince: 0, settle: false },
      restore: { checkpointId, manifest: handle, parallelism: { read: 1 } },
      leader: "0123456789abcdef",
      ...{ inherits: null, maxParallelism: 128, iterations: "exact", incremental: true },
    },
  }),
  "generation.teardown": ({ job, generation }) => ({ job, region: 0, generation }),
  "generation.started": ({ generation }) => ({ generation }),
  "drain.requested": ({ generation }) => ({ generation }),
  "checkpoint.triggered": ({ generation, checkpointId }) => ({
    ...{ generation, checkpointId },
    options: {
      alignment: "aligned",
      alignedTimeoutMs: 0,
      triggeredAtMs: 0,
      savepoint: null,
      stop: false,
      base: null,
    },
  }),
  "checkpoint.completed": ({ generation, checkpointId }) => ({ generation, checkpointId }),
  "checkpoint.aborted": ({ generation, checkpointId }) => ({ generation, checkpointId, reason: "expired" }),
  "subtask.restored": ({ generation }) => ({ generation, subtask }),
  "subtask.ended": ({ generation }) => ({ generation, subtask }),
  "subtask.committed": ({ generation, checkpointId }) => ({ generation, subtask, upTo: checkpointId }),
  "subtask.failed": ({ generation }) => ({ generation, subtask, reason: "forged", retry: "never" }),
  "watermark.reported": ({ generation }) => ({
    ...{
      generation,
      subtask,
      group: "forged",
      members: 1,
      maxDriftMs: 1,
      intervalMs: 1,
      watermark: 0,
      holds: true,
      pending: null,
    },
  }),
  "subtask.acknowledged": ({ generation, checkpointId }) => ({
    ...{ generation, checkpointId, subtask },
    snapshot: {
      ...{ subtask, states: [], transactions: [], channels: [], finished: false, alignmentMs: 0, syncMs: 0 },
      ...{ asyncMs: 0, bytes: 0, persistedInFlightBytes: 0 },
    },
  }),
  "subtask.declined": ({ generation, checkpointId }) => ({
    ...{ generation, checkpointId, subtask, reason: "declined", detail: "forged" },
  }),
  "subtask.discarded": ({ generation, checkpointId }) => ({
    ...{ generation, checkpointId, subtask, objects: [handle.name] },
  }),
};

const operatorsTime = {
  ...{ ...standing, operators: ["count"], holdersMore: 0 },
  holders: [{ operator: "read", subtask: "read/0", watermark: null, sinceMs: 0, reason: "silent" }],
};

const deleted = { objects: 1, bytes: 1, names: [handle.name] };
const answers: { readonly [word in AnswerWord | "too-large"]: Fields } = {
  accepted: { generations: [1], planSince: 1, reason: "forged" },
  duplicate: {},
  stale: { life: "forged", nonce: "1 forged" },
  unknown: { reason: "forged" },
  unproven: { note: "forged" },
  refused: { reason: "forged" },
  status: {
    status: {
      ...{ job: "fuzzed", status: "failed", phase: "ended", generation: 1, workers: [], failures: [] },
      ...{ checkpoints: { completed: 1, aborted: 0 }, subtasks: [{ ...report, worker: "forged" }] },
      ...{ eventTime: [operatorsTime], troubles: [], unansweredRequests: 0 },
    },
  },
  state: { subtasks: [{ subtask: "count/0", generation: 1, rows: [{ value: new Uint8Array([1]) }] }] },
  outcome: { outcome: { state: "completed", checkpointId: 1, location: null } },
  pending: {},
  restorable: {},
  collected: { report: { ...deleted, unfinished: 1 } },
  disposed: { report: { ...deleted, checkpoints: [1], abandoned: null } },
  "too-large": { reason: "forged" },
};
const pingAnswer: PingAnswer = {
  ...{ worker: "forged", generations: [1], subtasks: [report] as unknown as PingAnswer["subtasks"] },
  troubles: [{ what: "forged", reason: "forged", sinceMs: 0 }],
};

/** One of each type, before anything is spoiled. */
export function wholeRequest(known: Known, type: RequestType): Fields {
  return { type, ...requests[type](known) };
}

/** The same, of answers. */
export const WHOLE_ANSWERS: readonly Fields[] = [
  ...Object.entries(answers).map(([answer, more]) => ({ answer, ...more })),
  { ...pingAnswer },
];

export const REQUEST_TYPES = Object.keys(requests) as RequestType[];

export function forgedRequest(random: Random, known: Known, type = random.pick(REQUEST_TYPES)): Fields {
  const message = wholeRequest(known, type);
  return random.next() < 0.25 ? message : spoiled(random, message);
}

export function forgedAnswer(random: Random): Fields {
  return spoiled(random, random.pick(WHOLE_ANSWERS));
}

/** With values at the edges in one to three places, one of which matters. */
export function spoiled(random: Random, message: Fields): Fields {
  let spoiled = message;
  const places = leavesOf(message);
  const deciding = places.filter((path) => !FREE.has(String(path.at(-1))));
  const changes = random.between(1, 3);
  for (let i = 0; i < changes; i++) {
    const place = random.pick(i === 0 && deciding.length > 0 ? deciding : places);
    spoiled = changed(spoiled, place, edgeFor(random, place, at(message, place)));
  }
  return random.next() < 0.15 ? without(spoiled, random.pick(deciding)[0]) : spoiled;
}

/** Never what was there: -0 is not 0. */
function edgeFor(random: Random, place: Path, before: unknown): unknown {
  const isPlace = place.at(-1) === "directory" || place.at(-1) === "location";
  for (;;) {
    const edge = random.pick(isPlace ? EDGE_PLACES : EDGES);
    if (!Object.is(edge, before)) return edge;
  }
}

function without(message: Fields, key: string | number | undefined): Fields {
  return Object.fromEntries(Object.entries(message).filter(([name]) => name !== key));
}
