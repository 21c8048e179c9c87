/**
 * Writes one object into a bucket: its chunks on `$O.<bucket>.C.<nuid>`, then one info message.
 *
 * Owns: the order of durability, chunks under way, what a broken put leaves. Does not own: the bucket's subjects and
 * failures (object-bucket.ts).
 *
 * - OW1 An object exists from the moment its info message is stored, and that happens only after the acknowledgement of
 *   all its chunks. A broken put leaves chunks that no get can see.
 * - OW2 A name is written once: the info message is created by compare-and-set. When the name is there already, the
 *   put succeeds if content and chunks are those of the object, and is refused if the content is another one.
 * - OW3 Chunks are thrown away only while their info message cannot have been stored.
 * - OW4 A put that fails waits until its chunks under way are stored or never will be, then throws them away. A chunk
 *   without an acknowledgement is behind us once the stream has answered what was sent after it.
 * - OW5 A lost connection in the middle of the chunks ends a put at once: only the caller can give its content again.
 *   The last step, which needs no content, is repeated until the bucket has stalled (OB2).
 */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { headers, nuid } from "@nats-io/transport-node";
import {
  abortable,
  type Content,
  digestText,
  inPieces,
  newDigest,
  untilAborted,
} from "../../checkpoint/content.ts";
import type { ObjectHandle } from "../../checkpoint/storage.ts";
import { StorageRefusedError } from "../../errors.ts";
import type { FoundInfo } from "../../formats/object-info.ts";
import { isPassing } from "../connection/link.ts";
import { hasCode } from "./bucket.ts";
import { type ObjectBucket, stalled } from "./object-bucket.ts";
import type { ObjectInfo } from "./object-info.ts";
import { storedDigest, tokenOf } from "./object-names.ts";

/** The limit of one put: bounds what it holds in memory to 4 MiB, and hides the round trip. */
const CHUNKS_IN_FLIGHT_MAX = 8;

export class ObjectWriter {
  readonly #bucket: ObjectBucket;
  /** Deletes the object of this name, for a put that was aborted when it was stored already. */
  readonly #delete: (name: string) => Promise<void>;

  constructor(bucket: ObjectBucket, deleteObject: (name: string) => Promise<void>) {
    this.#bucket = bucket;
    this.#delete = deleteObject;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const id = `${tokenOf(name)}.${nuid.next()}`;
    const written = await this.#writeChunks(name, id, content, signal);
    const info: ObjectInfo = {
      name,
      bucket: this.#bucket.name,
      nuid: id,
      size: written.bytes,
      chunks: written.chunks,
      digest: storedDigest(written.digest),
      mtime: new Date().toISOString(),
      deleted: false,
      options: { max_chunk_size: this.#bucket.chunkBytesMax },
    };
    const publishing = this.#publishInfo(info);
    try {
      await abortable(publishing, signal);
    } catch (error) {
      if (signal?.aborted) await this.#undo(info, publishing);
      throw error;
    }
    return { name, bytes: written.bytes, digest: written.digest };
  }

  async #writeChunks(
    name: string,
    id: string,
    content: Content,
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: number; chunks: number; digest: string }> {
    const subject = this.#bucket.chunkSubject(id);
    const hash = newDigest();
    const inFlight = new Set<Promise<unknown>>();
    let bytes = 0;
    let chunks = 0;
    try {
      for await (const chunk of inPieces(untilAborted(content, signal), this.#bucket.chunkBytesMax)) {
        hash.update(chunk);
        bytes += chunk.length;
        chunks++;
        const sent = this.#bucket.call(() => this.#bucket.client.publish(subject, chunk));
        inFlight.add(sent);
        // The code below that waits for `sent` meets its failure; this branch only keeps the books.
        sent.then(
          () => inFlight.delete(sent),
          () => undefined,
        );
        if (inFlight.size >= CHUNKS_IN_FLIGHT_MAX) await abortable(Promise.race(inFlight), signal);
      }
      await abortable(Promise.all(inFlight), signal);
    } catch (error) {
      await this.#dropChunks(subject, inFlight);
      throw await this.#bucket.failure(`writing "${name}" to ${this.#bucket.description}`, error);
    }
    return { bytes, chunks, digest: digestText(hash) };
  }

  /** Stores the info message (OW2), again and again until its outcome is known or it is stalled. */
  async #publishInfo(info: ObjectInfo): Promise<void> {
    const what = `writing "${info.name}" to ${this.#bucket.description}`;
    const subject = this.#bucket.infoSubject(info.name);
    const body = new TextEncoder().encode(JSON.stringify(info));
    const options = headers();
    options.set("Nats-Rollup", "sub");
    let replaced = 0;
    let perhapsStored = false;
    const winner = await this.#bucket.untilStalled(what, async (): Promise<FoundInfo> => {
      try {
        const expect = { lastSubjectSequence: replaced };
        await this.#bucket.call(() =>
          this.#bucket.client.publish(subject, body, { headers: options, expect }),
        );
        return info;
      } catch (error) {
        perhapsStored ||= isPassing(error);
        if (!hasCode(error, JetStreamApiCodes.StreamWrongLastSequence)) {
          if (!perhapsStored) void this.#dropChunks(this.#bucket.chunkSubject(info.nuid), []);
          throw error;
        }
      }
      const present = await this.#bucket.readInfo(info.name);
      if (present !== undefined && "unreadable" in present)
        throw taken(what, `what is no info of it: ${present.unreadable}`);
      if (present?.info.nuid === info.nuid) return info;
      if (present !== undefined && (await this.#isWhole(present.info))) return present.info;
      // A tombstone, or the rest of a delete that was cut short.
      replaced = present?.revision ?? 0;
      throw stalled(what, "a name is being freed");
    });
    if (winner === info) return;
    void this.#dropChunks(this.#bucket.chunkSubject(info.nuid), []);
    if (winner.digest !== info.digest || winner.size !== info.size) {
      throw taken(what, `other content, ${winner.size} bytes, ${winner.digest}`);
    }
  }

  /** Undoes a put that was aborted at its last step, which may still succeed. Best effort, as the sweep comes later. */
  async #undo(info: ObjectInfo, publishing: Promise<void>): Promise<void> {
    try {
      await publishing;
      const stored = await this.#bucket.readInfo(info.name);
      if (stored !== undefined && "info" in stored && stored.info.nuid === info.nuid)
        await this.#delete(info.name);
    } catch {
      // The put had failed by itself, or the server is away.
    }
  }

  /** Tells an object from a tombstone and from one whose delete was cut short. */
  async #isWhole(info: FoundInfo): Promise<boolean> {
    if (info.deleted === true) return false;
    const subject = this.#bucket.chunkSubject(info.nuid);
    return ((await this.#bucket.subjects(subject)).get(subject) ?? 0) === info.chunks;
  }

  /** Throws the chunks of a failed put away (OW4). Best effort: what stays is found by its name. */
  async #dropChunks(subject: string, inFlight: Iterable<Promise<unknown>>): Promise<void> {
    const sent = await Promise.allSettled(inFlight);
    try {
      if (sent.some(({ status }) => status === "rejected")) await this.#untilBehind(subject);
      await this.#bucket.purge(subject);
    } catch {
      // The server is away, or does not answer.
    }
  }

  /** Resolves when nothing that was sent to this subject before is on its way any more. */
  async #untilBehind(subject: string): Promise<void> {
    try {
      const never = { lastSequence: Number.MAX_SAFE_INTEGER };
      await this.#bucket.call(() => this.#bucket.client.publish(subject, undefined, { expect: never }));
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
    }
  }
}

function taken(what: string, by: string): StorageRefusedError {
  const reason = `the name is taken by ${by}`;
  return new StorageRefusedError(`${what}: ${reason}`, { reason });
}
