/**
 * The memory of a leader, as other processes reach it: they put, get, list and delete over the bus (P98).
 *
 * - MV1 Each request may come again: it is answered as if it had come once.
 * - MV2 Pieces of an object that no further one has come of for a while are given up.
 */
import type { Clock } from "../clock.ts";
import type { Bus, Subscription } from "../dataflow/channel/bus.ts";
import { describeError, ObjectMissingError } from "../errors.ts";
import {
  encodeFramed,
  type MemoryAnswer,
  type MemoryRequest,
  parseMemoryRequest,
} from "../formats/messages/leader-memory.ts";
import type { MemoryStorage } from "./storage.ts";

const SILENT_MS_MAX = 120_000;
const PAGE = 500;

export interface MemoryServiceOptions {
  readonly bus: Bus;
  readonly subject: string;
  readonly storage: MemoryStorage;
  readonly clock: Clock;
  /** The parts of one object that another process puts. */
  readonly stateBytesMax: number;
}

interface Upload {
  readonly name: string;
  readonly pieces: Uint8Array[];
  bytes: number;
  touchedMs: number;
}

interface Answered {
  readonly answer: MemoryAnswer;
  readonly body?: Uint8Array;
}

const done: Answered = { answer: { answer: "done" } };
const refused = (reason: string): Answered => ({ answer: { answer: "refused", reason } });

export class MemoryService {
  readonly #options: MemoryServiceOptions;
  readonly #uploads = new Map<string, Upload>();
  readonly #subscription: Subscription;

  constructor(options: MemoryServiceOptions) {
    this.#options = options;
    this.#subscription = options.bus.subscribe(options.subject, (message, reply) => {
      const parsed = parseMemoryRequest(message);
      // What none of our processes has sent gets no answer (P52).
      if (reply === undefined || "problem" in parsed) return;
      const { header, body } = parsed.value;
      void this.#answer(header, body)
        .catch((error: unknown) => refused(describeError(error)))
        .then(({ answer, body: content }) => reply(encodeFramed(answer, content)));
    });
  }

  close(): void {
    this.#subscription.close();
    this.#uploads.clear();
  }

  async #answer(request: MemoryRequest, body: Uint8Array): Promise<Answered> {
    const { storage } = this.#options;
    switch (request.type) {
      case "put":
        return await this.#put(request, body);
      case "drop":
        this.#uploads.delete(request.upload);
        return done;
      case "get":
        return this.#get(request);
      case "delete":
        for (const [id, { name }] of this.#uploads) if (name === request.name) this.#uploads.delete(id);
        await storage.delete(request.name);
        return done;
      case "list":
        return await this.#list(request);
    }
  }

  async #put(request: Extract<MemoryRequest, { type: "put" }>, body: Uint8Array): Promise<Answered> {
    const { clock, stateBytesMax, storage } = this.#options;
    this.#giveUpSilent();
    const { upload: id, name, at, last } = request;
    const begun = this.#uploads.get(id);
    if (begun === undefined && at > 0) return this.#ended(name, last);
    const upload = begun ?? { name, pieces: [], bytes: 0, touchedMs: 0 };
    if (at > upload.bytes) return refused("a piece of this upload was lost");
    if (at === upload.bytes) {
      // The message may be a view of a larger buffer, which would stay.
      upload.pieces.push(body.slice());
      upload.bytes += body.length;
    }
    upload.touchedMs = clock.elapsedMs();
    this.#uploads.set(id, upload);
    if (upload.bytes > stateBytesMax) {
      this.#uploads.delete(id);
      return refused(`more than ${stateBytesMax} bytes`);
    }
    if (!last) return done;
    const { bytes, digest } = await storage.put(name, upload.pieces);
    this.#uploads.delete(id);
    return { answer: { answer: "object", bytes, digest } };
  }

  /** The answer to a last piece may have been lost, and the object be there: its digest tells. */
  #ended(name: string, last: boolean): Answered {
    const found = last ? this.#get({ type: "get", name, at: 0, bytesMax: 0 }) : undefined;
    return found?.answer.answer === "object" ? found : refused("the leader has given this upload up");
  }

  #get({ name, at, bytesMax }: Extract<MemoryRequest, { type: "get" }>): Answered {
    try {
      const { content, digest } = this.#options.storage.kept(name);
      const body = content.subarray(at, at + bytesMax);
      return { answer: { answer: "object", bytes: content.length, digest }, body };
    } catch (error) {
      if (error instanceof ObjectMissingError) return { answer: { answer: "missing" } };
      throw error;
    }
  }

  async #list({ prefix, after, unfinished }: Extract<MemoryRequest, { type: "list" }>): Promise<Answered> {
    const sizes = new Map<string, number>();
    if (unfinished) {
      for (const { name, bytes } of this.#uploads.values())
        if (name.startsWith(prefix)) sizes.set(name, (sizes.get(name) ?? 0) + bytes);
    } else for await (const { name, bytes } of this.#options.storage.list(prefix)) sizes.set(name, bytes);
    const names = [...sizes.keys()].filter((name) => name > after).sort();
    const objects = names.slice(0, PAGE).map((name) => ({ name, bytes: sizes.get(name)! }));
    return { answer: { answer: "listed", objects, more: names.length > PAGE } };
  }

  #giveUpSilent(): void {
    const sinceMs = this.#options.clock.elapsedMs() - SILENT_MS_MAX;
    for (const [id, { touchedMs }] of this.#uploads) if (touchedMs < sinceMs) this.#uploads.delete(id);
  }
}
