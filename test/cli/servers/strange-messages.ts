/** What connections of other make send: as requests to our processes, and as answers to them. */
import { encodeValue } from "../../../src/formats/codec.ts";

const utf8 = new TextEncoder();
const json = (value: unknown): Uint8Array => utf8.encode(JSON.stringify(value));
const message = (value: unknown): Uint8Array => encodeValue({ message: value });

export interface Strange {
  readonly what: string;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** None of these is a message of Tidemark. */
export const STRANGE: readonly Strange[] = [
  { what: "the acknowledgement of a stream", body: json({ stream: "AUDIT", seq: 7 }) },
  {
    what: "the refusal of a stream",
    body: json({ error: { code: 400, description: "full" }, stream: "AUDIT", seq: 0 }),
  },
  { what: "nothing", body: new Uint8Array(0) },
  { what: "text", body: utf8.encode("hello") },
  { what: "JSON null", body: json(null) },
  { what: "a JSON number", body: json(1e300) },
  { what: "a JSON array", body: json([{ message: 1 }]) },
  { what: "a JSON object", body: json({ message: { answer: "accepted" } }) },
  { what: "a micro-service", body: json({ type: "io.nats.micro.v1.ping_response", name: "x" }) },
  {
    what: "the error of a service",
    body: new Uint8Array(0),
    headers: { "Nats-Service-Error": "no such endpoint", "Nats-Service-Error-Code": "404" },
  },
  {
    what: "the error of a service over a right answer",
    body: message({ answer: "accepted" }),
    headers: { "Nats-Service-Error": "x" },
  },
  { what: "bytes that are no text", body: Uint8Array.of(0xc1, 0xfe, 0x00, 0x80) },
  { what: "the structured clone format", body: Uint8Array.of(0xff, 0x0f, 0x6f, 0x22) },
  { what: "an array of four billion", body: Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff) },
  { what: "arrays in arrays", body: new Uint8Array(200_000).fill(0x91) },
  { what: "a megabyte", body: new Uint8Array(1024 * 1024).fill(0x7b) },
  { what: "a message without a body", body: message(undefined) },
  { what: "a message that is null", body: message(null) },
  { what: "a message that is a list", body: message([]) },
  { what: "a message of no kind", body: message({ type: "job.explode", answer: "maybe" }) },
  { what: "a message of another format", body: encodeValue({ format: 2, message: { answer: "accepted" } }) },
  {
    what: "a large message that is nowhere",
    body: encodeValue({ object: { name: "x/1/1/message/x", bytes: 1, digest: `sha256:${"0".repeat(64)}` } }),
  },
  { what: "a large message without a name", body: encodeValue({ object: { name: 5 } }) },
];

const job = "counting";
const deployment = {
  ...{ job, incarnation: "x", region: 0, generation: 500, nonce: "n", placement: {}, splits: {} },
  ...{ restore: null, inherits: null, settle: false, maxParallelism: 128, iterations: "refuse" },
};

/** Requests of ours with something wrong in them. */
export const BROKEN_REQUESTS: readonly Strange[] = [
  { type: "job.submit", submission: { job, submissionId: "s", storage: null }, fresh: true, restore: null },
  { type: "job.submit" },
  { type: "job.status" },
  { type: "job.status", job: "a.b" },
  { type: "job.status", job: "__proto__" },
  { type: "job.snapshot", job, request: 1 },
  { type: "job.dispose", job, requestId: "r", what: -1 },
  { type: "worker.register", job, worker: "a b" },
  {
    type: "worker.register",
    job,
    worker: "w",
    codeFingerprint: "",
    parallelism: {},
    slots: 1.5,
    processId: 1,
    storage: "",
  },
  { type: "worker.crashed", job },
  { type: "generation.deploy", deployment: null },
  { type: "generation.deploy", deployment: { ...deployment, generation: Number.MAX_VALUE } },
  { type: "generation.deploy", deployment: { ...deployment, restore: {} } },
  { type: "generation.teardown", job, region: 0, generation: -1 },
  { type: "generation.teardown", job, region: 0, generation: "1000000" },
  { type: "checkpoint.triggered", generation: 1, checkpointId: 1 },
  { type: "checkpoint.aborted", generation: 1, checkpointId: 2 ** 60, reason: "expired" },
  { type: "subtask.acknowledged", generation: 1, checkpointId: 1, subtask: "count/0", snapshot: {} },
  { type: "subtask.failed", generation: 1, subtask: "count/0", reason: "r", retry: "perhaps" },
].map((request) => ({ what: JSON.stringify(request), body: message(request) }));

/** Messages that are whole, and would do harm if they were believed: of the future, with ids beyond all others. */
export function harmfulMessages({
  job,
  generation,
  worker,
}: Readonly<Record<"job" | "worker", string>> & {
  readonly generation: number;
}) {
  const far = Number.MAX_SAFE_INTEGER;
  const secret = "the secret of a stranger";
  const registration = {
    ...{
      type: "worker.register",
      job,
      worker,
      codeFingerprint: "",
      parallelism: { numbers: 1 },
      slots: 30_000,
    },
    ...{
      processId: 1,
      host: "nowhere",
      storage: "",
      directory: null,
      secret,
      inbox: "_INBOX.nowhere",
      nth: far,
    },
  };
  const of = { generation, subtask: "count/0" };
  const snapshot = {
    ...{ subtask: "count/0", finished: true, startedAtMs: 0, bytes: 0, operators: {}, transactions: [] },
  };
  return {
    toLeader: [
      registration,
      { ...registration, worker: "nobody" },
      { type: "worker.crashed", job, worker, secret, reason: "a stranger's" },
    ],
    toWorker: [
      { type: "generation.deploy", deployment: { ...deployment, job } },
      { type: "generation.deploy", deployment: { ...deployment, job, generation: far, region: far } },
      { type: "generation.teardown", job, region: 0, generation: 1_000_000 },
      { type: "generation.teardown", job, region: far, generation: far },
    ],
    toSubtasks: [
      { type: "generation.started", generation },
      { type: "drain.requested", generation },
      { type: "checkpoint.completed", generation, checkpointId: far },
      { type: "checkpoint.aborted", generation, checkpointId: far, reason: "expired" },
    ],
    fromSubtasks: [
      { type: "subtask.restored", ...of },
      { type: "subtask.ended", ...of },
      { type: "subtask.committed", ...of, upTo: far },
      { type: "subtask.failed", ...of, reason: "a stranger's", retry: "never" },
      { type: "subtask.acknowledged", ...of, checkpointId: far, snapshot },
      { type: "subtask.declined", ...of, checkpointId: far, reason: "declined", detail: "a stranger's" },
      { type: "subtask.discarded", ...of, checkpointId: far, objects: [] },
    ],
  };
}
