/**
 * Crash points: everything durable or told that a process does, with a moment before it, one after it, and its answer
 * lost. The engine knows nothing of this: what it is given (bus, storage, records, connection, feed) is wrapped.
 *
 * - "before": the process is killed when it is about to do it.
 * - "after": it is done, its answer is here, the process is killed before it can act on it.
 * - "lost": it is done, and the answer is lost. The process lives.
 * - "never": it is not done, and no answer comes. The process lives.
 * - "late": it is done a second late.
 * - "held": it is about to do it, and waits until the test lets it go on. The process lives.
 * - "asleep": the process stops (SIGSTOP) when it is about to do it, and does it when the test lets it go on: a zombie.
 */
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { JobRecord } from "../../../machines/protocol.ts";
import type { Cluster } from "../../../src/cli/assembly.ts";
import { bare, decodeEnvelope } from "../../../src/control/wire.ts";
import type { Bus } from "../../../src/dataflow/channel/bus.ts";
import { kindOf, MESSAGE } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { RequestTimeoutError, StorageStalledError, UnknownOutcomeError } from "../../../src/errors.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import type { RecordStore } from "../../../src/runtime/record-store.ts";

export type When = "before" | "after" | "lost" | "never" | "late" | "held" | "asleep";

const LATE_MS = 1000;

export interface FaultSpec {
  /**
   * - `send <message>`: a control message, by its type: "send subtask.acknowledged"
   * - `store <change>`: a write of the job record or the lease: "store decision", "store generation", …
   * - `put <what>`, `get <what>`, `delete <what>`: an object: manifest, state, transaction
   * - `batch <what>`: an atomic batch of the sink: takeover, part
   * - `effect <name>`: a machine's step that names this effect; only before
   * - `barrier`: a barrier frame on one channel of several; only after
   */
  readonly point: string;
  readonly when: When;
  /** Which one of those that match. Default 1. */
  readonly nth?: number;
  /** Only from this checkpoint on. Default 2, so that there is one to go back to. */
  readonly fromCheckpoint?: number;
  /** Only from this generation on. */
  readonly fromGeneration?: number;
  /** A second fault in the same process: what is late while the first one happens. */
  readonly companion?: FaultSpec;
}

/** Written by the test: what was held goes on. */
export const releaseFile = (hitFile: string): string => `${hitFile}-released`;

const LOOK_MS = 10;

/** Written when a process that was asleep or held has done what it was about to do, with whatever outcome. */
export const wokenFile = (hitFile: string): string => `${hitFile}-woken`;

/** What is known of one occasion. */
interface Occasion {
  readonly point: string;
  readonly checkpointId?: number | undefined;
  readonly generation?: number | undefined;
}

export class FaultPoint {
  readonly #spec: FaultSpec;
  readonly #hitFile: string;
  #matched = 0;
  #hit = false;
  /** Between the fault and the end of the process nothing leaves it any more. */
  muted = false;

  constructor(spec: FaultSpec, hitFile: string) {
    this.#spec = spec;
    this.#hitFile = hitFile;
  }

  /** Runs `act`, or what the fault makes of it. `unanswered` is what the caller sees when no answer comes. */
  async around<T>(occasion: Occasion, act: () => Promise<T>, unanswered: () => Error): Promise<T> {
    if (!this.#isDue(occasion)) return act();
    const { when } = this.#spec;
    if (when === "before") this.crash(occasion);
    if (when === "never") {
      this.#noteHit(occasion);
      throw unanswered();
    }
    if (when === "asleep") {
      this.#noteHit(occasion);
      process.kill(process.pid, "SIGSTOP");
      return act().finally(() => writeFileSync(wokenFile(this.#hitFile), ""));
    }
    if (when === "held") {
      this.#noteHit(occasion);
      while (!existsSync(releaseFile(this.#hitFile))) await sleep(LOOK_MS);
      return act().finally(() => writeFileSync(wokenFile(this.#hitFile), ""));
    }
    if (when === "late") {
      this.#noteHit(occasion);
      await sleep(LATE_MS);
      return act();
    }
    await act();
    if (when === "after") this.crash(occasion);
    this.#noteHit(occasion);
    throw unanswered();
  }

  /** At a moment that has no answer. */
  isDueNow(occasion: Occasion): boolean {
    return this.#isDue(occasion);
  }

  crash(occasion: Occasion): never {
    this.#noteHit(occasion);
    process.kill(process.pid, "SIGKILL");
    throw new Error("a killed process goes on");
  }

  #isDue({ point, checkpointId, generation }: Occasion): boolean {
    const { nth = 1, fromCheckpoint = 2, fromGeneration = 0 } = this.#spec;
    if (this.#hit || point !== this.#spec.point) return false;
    if (checkpointId !== undefined && checkpointId < fromCheckpoint) return false;
    if (generation !== undefined && generation < fromGeneration) return false;
    this.#matched++;
    if (this.#matched < nth) return false;
    this.#hit = true;
    return true;
  }

  #noteHit(occasion: Occasion): void {
    writeFileSync(this.#hitFile, JSON.stringify(occasion));
  }
}

/** The same cluster, with the fault in it. */
export function faultyCluster(cluster: Cluster, fault: FaultPoint): Cluster {
  disturbBatches(cluster, fault);
  const { storage } = cluster;
  const occasionOf = (verb: string, name: string): Occasion => ({
    point: `${verb} ${objectKind(name)}`,
    checkpointId: checkpointOf(name),
    generation: Number(name.split("/")[2]),
  });
  return {
    ...cluster,
    bus: faultyBus(cluster.bus, fault),
    storage: replacing(storage, {
      put: (name, content, signal) =>
        fault.around(
          occasionOf("put", name),
          () => storage.put(name, content, signal),
          () => new StorageStalledError(`put ${name}: no answer`),
        ),
      get: (handle) =>
        fault.around(
          occasionOf("get", handle.name),
          () => storage.get(handle),
          () => new StorageStalledError(`get ${handle.name}: no answer`),
        ),
      delete: (name) =>
        fault.around(
          occasionOf("delete", name),
          () => storage.delete(name),
          () => new StorageStalledError(`delete ${name}: no answer`),
        ),
    }),
    feed: {
      publish(event: FeedEvent) {
        for (const effect of event.effects) {
          const occasion = { point: `effect ${effect}`, checkpointId: checkpointOfEvent(event) };
          if (fault.isDueNow(occasion)) fault.crash(occasion);
        }
        cluster.feed.publish(event);
      },
    },
    openRecords: async () => faultyRecords(await cluster.openRecords(), fault),
  };
}

function faultyBus(bus: Bus, fault: FaultPoint): Bus {
  return replacing(bus, {
    publish(subject, body) {
      if (fault.muted) return;
      bus.publish(subject, body);
      if (!subject.includes(".channel.") || kindOf(body) !== MESSAGE.barrier) return;
      if (!fault.isDueNow({ point: "barrier" })) return;
      fault.muted = true;
      void bus.flush().then(() => fault.crash({ point: "barrier" }));
    },
    request: (subject, body, timeoutMs, isAnswer) => {
      const envelope = decodeEnvelope(bare(body));
      const message = "message" in envelope ? (envelope.message as Partial<Message>) : undefined;
      return fault.around(
        {
          point: `send ${message?.type}`,
          checkpointId: message?.checkpointId,
          generation: message?.generation,
        },
        () => bus.request(subject, body, timeoutMs, isAnswer),
        () => new RequestTimeoutError(`request to ${subject}: no answer`),
      );
    },
  });
}

interface Message {
  readonly type: string;
  readonly checkpointId: number;
  readonly generation: number;
}

/** `target` with some of its methods replaced. */
function replacing<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get(_, name) {
      const found: unknown = Reflect.get(name in methods ? methods : target, name);
      return typeof found === "function" ? found.bind(target) : found;
    },
  });
}

function faultyRecords(store: RecordStore, fault: FaultPoint): RecordStore {
  let last: JobRecord | undefined;
  const remember = (key: string, value: Uint8Array): JobRecord | undefined => {
    if (!key.startsWith("job.")) return undefined;
    last = JSON.parse(new TextDecoder().decode(value)) as JobRecord;
    return last;
  };
  return replacing(store, {
    async read(key) {
      const found = await store.read(key);
      if (found !== undefined) remember(key, found.value);
      return found;
    },
    async compareAndSet(key, value, expectedRevision) {
      const before = last;
      const now = remember(key, value);
      const change = now === undefined ? "lease" : changeBetween(before, now);
      // The lease is renewed from the beginning: a fault in it waits until the job has got somewhere, too.
      const counts = change === "decision" || change === "lease";
      const checkpointId = counts ? ((now ?? last)?.checkpoints.at(-1)?.checkpointId ?? 0) : undefined;
      return fault.around(
        { point: `store ${change}`, checkpointId, generation: now?.generation },
        () => store.compareAndSet(key, value, expectedRevision),
        () => new UnknownOutcomeError(`${key}: no answer`),
      );
    },
  });
}

function changeBetween(before: JobRecord | undefined, now: JobRecord): string {
  if (before === undefined || before.submissionId !== now.submissionId) return "submission";
  if (before.token !== now.token) return "claim";
  if (before.generation !== now.generation) return "generation";
  if (before.status !== now.status) return now.status === "settling" ? "settling" : "terminal";
  if (before.reservedCheckpointId !== now.reservedCheckpointId) return "reservation";
  if (before.checkpoints.at(-1)?.checkpointId !== now.checkpoints.at(-1)?.checkpointId) return "decision";
  return before.failures.length === now.failures.length ? "again" : "failure";
}

/** The sink publishes its batches on the connection itself. */
function disturbBatches(cluster: Cluster, fault: FaultPoint): void {
  const { connection } = cluster.nats;
  const request = connection.request.bind(connection);
  connection.request = (subject, payload, options) => {
    const send = () => request(subject, payload, options);
    // What asks how large a batch may be holds no marker.
    if (!subject.startsWith("tidemark-marker.") || String(payload) === "") return send();
    const marker = JSON.parse(String(payload)) as { checkpointId: number; generation: number };
    const isTakeOver = options?.headers?.get("Nats-Batch-Sequence") === "1";
    return fault.around(
      {
        point: isTakeOver ? "batch takeover" : "batch part",
        checkpointId: isTakeOver ? undefined : marker.checkpointId,
        generation: marker.generation,
      },
      async () => {
        const answer = await send();
        return answer;
      },
      () => new Error("no answer"),
    );
  };
}

function objectKind(name: string): string {
  if (name.endsWith("/manifest")) return "manifest";
  if (name.includes("/transaction-")) return "transaction";
  return name.includes("/message/") ? "message" : "state";
}

function checkpointOf(name: string): number | undefined {
  const found = /\/checkpoint-(\d+)\//.exec(name);
  return found === null ? undefined : Number(found[1]);
}

function checkpointOfEvent(event: FeedEvent): number | undefined {
  if (typeof event.checkpointId === "number") return event.checkpointId;
  const found = /@(\d+)$/.exec(String(event.transaction ?? "")) ?? /^checkpoint\/(\d+)$/.exec(event.id);
  return found === null ? undefined : Number(found[1]);
}
