/**
 * Reads one object of a bucket with a consumer of its own, and says what is missing or corrupt.
 *
 * Owns: the consumer, the pulls, the check of the content. Does not own: the bucket's subjects and failures
 * (object-bucket.ts).
 *
 * - OG1 What is given back is the object of the handle, byte for byte: its digest is taken of the chunks that came.
 * - OG2 A read goes on behind the chunks that it has. It ends as StorageStalledError only after `stallTimeoutMs`
 *   without a new one (OB2), and as ObjectMissingError only when the leader counts too few of them (OB1).
 */
import type { Hash } from "node:crypto";
import { AckPolicy, type Consumer, DeliverPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { digestText, newDigest } from "../../checkpoint/content.ts";
import type { ObjectHandle } from "../../checkpoint/storage.ts";
import {
  describeError,
  ObjectCorruptError,
  ObjectMissingError,
  StorageStalledError,
  TidemarkError,
} from "../../errors.ts";
import type { FoundInfo } from "../../formats/object-info.ts";
import { type ObjectBucket, stalled } from "./object-bucket.ts";
import { storedDigest } from "./object-names.ts";

/** The limit of one pull: 16 MiB, well below the 64 MiB at which a server drops a slow reader. */
const CHUNKS_PER_PULL = 32;
/** A reader's consumer whose process died goes away by itself after this time. */
const CONSUMER_LIFETIME_MS = 60_000;

export class ObjectReader {
  readonly #bucket: ObjectBucket;

  constructor(bucket: ObjectBucket) {
    this.#bucket = bucket;
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const { name } = handle;
    const what = `reading "${name}" from ${this.#bucket.description}`;
    const info = await this.#bucket.untilStalled(what, () => this.#infoOf(handle));
    const hash = newDigest();
    const bytes = await this.#readChunks(what, info, hash);
    const digest = digestText(hash);
    if (digest !== handle.digest) {
      throw new ObjectCorruptError(
        name,
        `object "${name}" in ${this.#bucket.description} is corrupt: its chunks give ${digest}, expected ${handle.digest}`,
      );
    }
    return bytes;
  }

  async assertPresent(handle: ObjectHandle): Promise<void> {
    const what = `looking for "${handle.name}" in ${this.#bucket.description}`;
    await this.#bucket.untilStalled(what, async () => this.#refuseMissingChunks(await this.#infoOf(handle)));
  }

  /** @throws ObjectMissingError, ObjectCorruptError when the object of this name is another one */
  async #infoOf({ name, bytes, digest }: ObjectHandle): Promise<FoundInfo> {
    const stored = await this.#bucket.readInfo(name);
    if (stored !== undefined && "unreadable" in stored) {
      throw new ObjectCorruptError(
        name,
        `object "${name}" in ${this.#bucket.description} is corrupt: its info cannot be read: ${stored.unreadable}`,
      );
    }
    if (stored === undefined || stored.info.deleted === true) {
      throw new ObjectMissingError(name, `object "${name}" is not in ${this.#bucket.description}`);
    }
    const { info } = stored;
    if (info.digest === storedDigest(digest) && info.size === bytes) return info;
    throw new ObjectCorruptError(
      name,
      `object "${name}" in ${this.#bucket.description} is another one: ${info.size} bytes, ${info.digest}; ` +
        `expected ${bytes} bytes, ${digest}`,
    );
  }

  async #readChunks(what: string, info: FoundInfo, hash: Hash): Promise<Uint8Array> {
    const bytes = new Uint8Array(info.size);
    let chunks = 0;
    let filled = 0;
    let nextSequence = 1;
    const take = (data: Uint8Array, sequence: number): void => {
      if (filled + data.length > bytes.length) {
        throw new ObjectCorruptError(
          info.name,
          `object "${info.name}" has chunks of more than ${info.size} bytes`,
        );
      }
      bytes.set(data, filled);
      hash.update(data);
      filled += data.length;
      nextSequence = sequence + 1;
      chunks++;
    };
    while (chunks < info.chunks) {
      await this.#bucket.untilStalled(what, async () => {
        const before = chunks;
        try {
          await this.#pullChunks(info, nextSequence, info.chunks - chunks, take);
        } catch (error) {
          if (chunks === before || error instanceof ObjectCorruptError) throw error;
        }
        if (chunks === before) throw stalled(what, "no chunk came");
      });
    }
    return bytes;
  }

  /** Reads `wanted` chunks from `sequence` on with a consumer of its own. Ends early when a pull brings fewer. */
  async #pullChunks(
    info: FoundInfo,
    sequence: number,
    wanted: number,
    take: (data: Uint8Array, sequence: number) => void,
  ): Promise<void> {
    const consumerInfo = await this.#bucket.call(() =>
      this.#bucket.manager.consumers.add(this.#bucket.stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: sequence,
        filter_subject: this.#bucket.chunkSubject(info.nuid),
        inactive_threshold: nanos(CONSUMER_LIFETIME_MS),
        mem_storage: true,
        num_replicas: 1,
      }),
    );
    try {
      if (consumerInfo.num_pending < wanted) await this.#refuseMissingChunks(info);
      const consumer = this.#bucket.client.consumers.getConsumerFromInfo(consumerInfo);
      for (let taken = 0; taken < wanted; ) {
        const most = Math.max(1, Math.floor(CHUNKS_PER_PULL * this.#bucket.shareOfPulls));
        const asked = Math.min(most, wanted - taken);
        const came = await this.#pull(consumer, asked, taken, take);
        // What comes after the end of a pull is lost to us: the next consumer starts behind what we have.
        if (came < asked) return;
        taken += came;
      }
    } finally {
      void this.#bucket.manager.consumers
        .delete(this.#bucket.stream, consumerInfo.name)
        .catch(() => undefined);
    }
  }

  /** @param delivered how many messages this consumer has delivered before */
  async #pull(
    consumer: Consumer,
    asked: number,
    delivered: number,
    take: (data: Uint8Array, sequence: number) => void,
  ): Promise<number> {
    // Half of the stall timeout, so that there is time for a second look when nothing comes. 1 s is the least.
    const expires = Math.max(1_000, this.#bucket.stallTimeoutMs / 2);
    const messages = await consumer.fetch({ max_messages: asked, expires });
    let came = 0;
    let givenUp = false;
    const reading = async (): Promise<void> => {
      for await (const message of messages) {
        if (givenUp || message.info.deliverySequence !== delivered + came + 1) return;
        take(message.data, message.seq);
        came++;
      }
    };
    try {
      await this.#bucket.call(reading);
      return came;
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      throw new StorageStalledError(describeError(error), { cause: error });
    } finally {
      givenUp = true;
      messages.stop();
    }
  }

  async #refuseMissingChunks(info: FoundInfo): Promise<void> {
    const subject = this.#bucket.chunkSubject(info.nuid);
    const present = (await this.#bucket.subjects(subject)).get(subject) ?? 0;
    if (present >= info.chunks) return;
    throw new ObjectMissingError(
      info.name,
      `object "${info.name}" in ${this.#bucket.description} has lost ${info.chunks - present} of its ${info.chunks} chunks`,
    );
  }
}
