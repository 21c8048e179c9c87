/**
 * Checkpoint storage in the memory of another process: of the leader that has deployed what runs here, or, for a
 * command that looks, of the one that leads (P98).
 *
 * - LV1 A put goes to the leader that the deployment has named, and to no other: another one would not know of it.
 * - LV2 An object is missing only where a leader says so that was asked; one that does not answer is a stall.
 */
import { type Content, digestText, inPieces, newDigest, untilAborted } from "../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../checkpoint/storage.ts";
import type { Bus } from "../dataflow/channel/bus.ts";
import {
  describeError,
  NoRespondersError,
  ObjectCorruptError,
  ObjectMissingError,
  ObjectTooLargeError,
  RequestTimeoutError,
  StorageRefusedError,
  StorageStalledError,
} from "../errors.ts";
import {
  encodeFramed,
  type Framed,
  type MemoryAnswer,
  type MemoryRequest,
  parseMemoryAnswer,
} from "../formats/messages/leader-memory.ts";
import { LEADER_MEMORY } from "./storage.ts";

const ANSWER_MS_MAX = 2_000;
const ATTEMPTS_MAX = 4;
const PIECE_BYTES_MAX = 512 * 1024;
/** A header with a long name. */
const HEADER_BYTES_MAX = 4 * 1024;

export interface LeaderMemoryOptions {
  readonly bus: Bus;
  /** What a leader with this id is asked on. */
  readonly subjectOf: (leader: string) => string;
  /** The ids of who may lead the job, the most likely first: asked where no deployment has named one. */
  readonly find: (job: string) => Promise<readonly string[]>;
  readonly newId: () => string;
  /** A larger object is refused. */
  readonly stateBytesMax: number;
}

export class LeaderMemory implements CheckpointStorage {
  readonly description = LEADER_MEMORY;
  readonly #options: LeaderMemoryOptions;
  /** The leader that has deployed what runs in this process. */
  leader: string | undefined;

  constructor(options: LeaderMemoryOptions) {
    this.#options = options;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const upload = this.#options.newId();
    const hash = newDigest();
    let bytes = 0;
    let held: Uint8Array | undefined;
    let sentBytes = 0;
    const send = async (piece: Uint8Array, last: boolean) => {
      const at = sentBytes;
      sentBytes += piece.length;
      return await this.#ask(name, { type: "put", upload, name, at, last }, piece);
    };
    try {
      for await (const piece of inPieces(untilAborted(content, signal), this.#pieceBytes())) {
        hash.update(piece);
        bytes += piece.length;
        // The rest is read all the same: its size is what the user has to know.
        if (bytes > this.#options.stateBytesMax) held = undefined;
        else {
          if (held !== undefined) assertTaken(await send(held, false), name);
          held = piece;
        }
      }
      if (bytes > this.#options.stateBytesMax)
        throw new ObjectTooLargeError(name, bytes, this.#options.stateBytesMax);
      const handle = { name, bytes, digest: digestText(hash) };
      const { header } = assertTaken(await send(held ?? new Uint8Array(), true), name);
      if (signal?.aborted === true) {
        await this.delete(name).catch(() => undefined);
        throw signal.reason;
      }
      if (header.answer === "object" && header.digest === handle.digest) return handle;
      throw new StorageStalledError(`writing "${name}" to ${this.description}: pieces of it were lost`);
    } catch (error) {
      await this.#ask(name, { type: "drop", upload }).catch(() => undefined);
      throw error;
    }
  }

  async get({ name, bytes, digest }: ObjectHandle): Promise<Uint8Array> {
    const content = new Uint8Array(bytes);
    for (let at = 0; ; ) {
      const { header, body } = await this.#found(name, at, this.#pieceBytes());
      if (header.bytes !== bytes || header.digest !== digest || at + body.length > bytes)
        throw this.#another(name, header, { bytes, digest });
      content.set(body, at);
      at += body.length;
      if (at === bytes) break;
      if (body.length === 0)
        throw new StorageStalledError(`reading "${name}" from ${this.description}: no bytes`);
    }
    const found = digestText(newDigest().update(content));
    if (found === digest) return content;
    throw this.#another(name, { bytes, digest: found }, { bytes, digest });
  }

  async assertPresent({ name, bytes, digest }: ObjectHandle): Promise<void> {
    const { header } = await this.#found(name, 0, 0);
    if (header.bytes !== bytes || header.digest !== digest)
      throw this.#another(name, header, { bytes, digest });
  }

  async delete(name: string): Promise<void> {
    assertTaken(await this.#ask(name, { type: "delete", name }), name);
  }

  list(prefix: string): AsyncGenerator<StoredObject> {
    return this.#listed(prefix, false);
  }

  listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    return this.#listed(prefix, true);
  }

  async *#listed(prefix: string, unfinished: boolean): AsyncGenerator<StoredObject> {
    for (let after = ""; ; ) {
      const { header } = await this.#ask(prefix, { type: "list", prefix, after, unfinished });
      if (header.answer !== "listed") throw this.#strange("listing", header);
      yield* header.objects;
      if (!header.more) return;
      after = header.objects.at(-1)!.name;
    }
  }

  async #found(name: string, at: number, bytesMax: number) {
    const { header, body } = await this.#ask(name, { type: "get", name, at, bytesMax });
    if (header.answer === "missing")
      throw new ObjectMissingError(
        name,
        `object "${name}" is not in the memory of the leader: it went with the process that had it`,
      );
    if (header.answer !== "object") throw this.#strange(`reading "${name}" from`, header);
    return { header, body };
  }

  /** @param name of an object, or its beginning: it tells the job */
  async #ask(name: string, request: MemoryRequest, body?: Uint8Array): Promise<Framed<MemoryAnswer>> {
    const message = encodeFramed(request, body);
    let failure: unknown = new NoRespondersError("no coordinator leads");
    for await (const leader of this.#leaders(name, request)) {
      try {
        return await this.#askOne(this.#options.subjectOf(leader), message);
      } catch (error) {
        failure = error;
        if (!(error instanceof NoRespondersError)) break;
      }
    }
    const reason = `the leader, in whose memory checkpoints are, does not answer: ${describeError(failure)}`;
    throw new StorageStalledError(`"${name}" in ${this.description}: ${reason}`, { cause: failure, reason });
  }

  /** What a later leader deploys may be so large that it lies in its memory: a get asks further. */
  async *#leaders(name: string, { type }: MemoryRequest): AsyncGenerator<string> {
    if (this.leader !== undefined) yield this.leader;
    if (this.leader === undefined || type === "get") yield* await this.#options.find(name.split("/")[0]!);
  }

  async #askOne(subject: string, message: Uint8Array): Promise<Framed<MemoryAnswer>> {
    const { bus } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        let answer: Framed<MemoryAnswer> | undefined;
        await bus.request(subject, message, ANSWER_MS_MAX, (reply) => {
          const parsed = parseMemoryAnswer(reply.body);
          if ("value" in parsed) answer = parsed.value;
          return answer !== undefined;
        });
        return answer!;
      } catch (error) {
        if (!(error instanceof RequestTimeoutError) || attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  #pieceBytes(): number {
    return Math.max(1, Math.min(PIECE_BYTES_MAX, this.#options.bus.payloadBytesMax - HEADER_BYTES_MAX));
  }

  #another(name: string, found: Sized, expected: Sized): ObjectCorruptError {
    return new ObjectCorruptError(
      name,
      `object "${name}" in ${this.description} is another one: ${found.bytes} bytes, ${found.digest}; expected ` +
        `${expected.bytes} bytes, ${expected.digest}`,
    );
  }

  #strange(act: string, header: MemoryAnswer): StorageStalledError {
    const reason = header.answer === "refused" ? header.reason : `the leader answered "${header.answer}"`;
    return new StorageStalledError(`${act} ${this.description}: ${reason}`, { reason });
  }
}

type Sized = Pick<ObjectHandle, "bytes" | "digest">;

/** @throws StorageRefusedError with what the leader says */
function assertTaken(answered: Framed<MemoryAnswer>, name: string): Framed<MemoryAnswer> {
  const { header } = answered;
  if (header.answer !== "refused") return answered;
  throw new StorageRefusedError(`writing "${name}" to ${LEADER_MEMORY}: ${header.reason}`, {
    reason: header.reason,
  });
}
