/**
 * Looks on from outside while the job is disturbed: the marker messages of the output stream, every revision of the job
 * record, the event feed. What it misses while the server is down it does not know, so checkers use only what was seen.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Subscription } from "@nats-io/transport-node";
import type { JobRecord } from "../../machines/protocol.ts";
import type { TransactionMarker } from "../../src/formats/transactions/transaction-marker.ts";
import type { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { readFrom, type StoredMessage } from "../support/servers/streams.ts";

export interface SeenMarker {
  readonly subject: string;
  readonly sequence: number;
  readonly storedAtMs: number;
  readonly marker: TransactionMarker;
}

export interface SeenRecord {
  readonly sequence: number;
  readonly storedAtMs: number;
  readonly record: JobRecord;
  /** Revisions between the one seen before and this one were overwritten before the observer saw them. */
  readonly gap: boolean;
}

export class Observer {
  readonly markers: SeenMarker[] = [];
  readonly records: SeenRecord[] = [];
  readonly events: FeedEvent[] = [];
  readonly #nats: NatsEnvironment;
  readonly #feedFile: WriteStream;
  readonly #subscription: Subscription;
  readonly #following: Promise<void>[];
  #closed = false;

  constructor(options: {
    readonly nats: NatsEnvironment;
    readonly job: string;
    readonly output: string;
    readonly directory: string;
    readonly prefix?: string;
  }) {
    const { nats, job, output, directory, prefix = "tidemark" } = options;
    this.#nats = nats;
    this.#feedFile = createWriteStream(join(directory, "feed.jsonl"));
    this.#subscription = nats.connection.subscribe(`${prefix}.${job}.events`, {
      callback: (error, message) => {
        if (error !== null) return;
        this.#feedFile.write(`${message.string()}\n`);
        this.events.push(message.json<FeedEvent>());
      },
    });
    const markerSubjects = `tidemark-marker.${output}.`;
    this.#following = [
      this.#follow(output, (message) => {
        if (!message.subject.startsWith(markerSubjects)) return;
        const marker = JSON.parse(message.text) as TransactionMarker;
        const { subject, sequence, storedAtMs } = message;
        this.markers.push({ subject, sequence, storedAtMs, marker });
        this.#feedFile.write(`${JSON.stringify({ marker, sequence, storedAtMs })}\n`);
      }),
      this.#followRecord(`KV_${prefix}-jobs`, `$KV.${prefix}-jobs.job.${job}`),
    ];
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#subscription.unsubscribe();
    await Promise.all(this.#following);
    this.#feedFile.end();
  }

  #followRecord(stream: string, subject: string): Promise<void> {
    let last = 0;
    let gap = false;
    return this.#follow(stream, (message) => {
      gap ||= message.sequence !== last + 1;
      last = message.sequence;
      if (message.subject !== subject) return;
      const record = JSON.parse(message.text) as JobRecord;
      const { sequence, storedAtMs } = message;
      this.records.push({ sequence, storedAtMs, record, gap });
      gap = false;
      const { generation, status, token, checkpoints, reservedCheckpointId } = record;
      const line = { generation, status, token, reservedCheckpointId, completed: checkpoints.at(-1) };
      this.#feedFile.write(`${JSON.stringify({ record: line, sequence, storedAtMs })}\n`);
    });
  }

  async #follow(stream: string, take: (message: StoredMessage) => void): Promise<void> {
    let last = 0;
    while (!this.#closed) {
      const takeNext = (message: StoredMessage): void => {
        if (message.sequence <= last) return;
        last = message.sequence;
        take(message);
      };
      const reading = readFrom(this.#nats, stream, last + 1, takeNext, { isOver: () => this.#closed });
      await reading.catch(() => sleep(100));
    }
  }
}
