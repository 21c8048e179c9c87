/**
 * One writer's marker in a JetStream stream: the fence and the progress of its transactions.
 *
 * Owns: reading, taking over and advancing the marker; settling unknown outcomes by it; waiting between attempts.
 * Does not own: what a found marker means (dataflow/transaction-marker.ts, TM1 to TM6), what a part holds.
 *
 * - SM1 The marker is the last message of the batch that carries a part, guarded by its own last sequence: part and
 *   marker become visible together, or neither does, and a writer whose knowledge is old changes nothing (P22, C3).
 * - SM2 After anything but "stored" only the marker is believed, read from the stream's leader (P8, P20).
 * - SM3 Every attempt after the first follows an answered read, so nothing piles up in the client while it is
 *   disconnected, and the guard is the sequence just read.
 * - SM4 Refusals that pass are retried for as long as it takes (P17); the others stop the job with a name (P24).
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { ClosedConnectionError, DrainingConnectionError } from "@nats-io/transport-node";
import type { InheritedFrom } from "../../dataflow/sink.ts";
import {
  assertKnownOwner,
  assertStillOwned,
  type MarkerExpectation,
  type MarkerPosition,
  partsCommitted,
  signature,
  takeOver,
} from "../../dataflow/transaction-marker.ts";
import { CommitRefusedError, DisconnectedError, describeError } from "../../errors.ts";
import {
  encodeMarker,
  type MarkerOwner,
  parseMarker,
  type TransactionMarker,
} from "../../formats/transactions/transaction-marker.ts";
import { denialIn } from "../connection/denials.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { AtomicPublisher, type BatchOutcome } from "./atomic-publisher.ts";
import { commitRefusal, type RefusedBatch } from "./commit-refusal.ts";
import { MARKER_HEADER } from "./marker-header.ts";
import type { MessageRange } from "./message-block.ts";
import { isStreamMissing, targetGone } from "./sink-target.ts";

export interface MarkerPlace {
  readonly nats: NatsEnvironment;
  readonly manager: JetStreamManager;
  readonly stream: string;
  readonly subject: string;
  /**
   * Looks for what makes a batch fail again and again, and answers what the stream holds, if the server tells it.
   * @throws CommitRefusedError that names what it has found
   */
  diagnose(batch: RefusedBatch): Promise<RefusedBatch["held"]>;
  /** Told before each wait, with the reason in words. */
  onRetry(description: string, attempts: number): void;
  /** Told when an attempt has worked. */
  onPassed(): void;
}

export const markerTiming = {
  batchTimeoutMs: 5_000,
  batchTimeoutMsMax: 30_000,
  retryDelayMs: 20,
  retryDelayMsMax: 2_000,
  /** A stream that is missing, or a marker, is asked for again before it is believed. */
  confirmations: 3,
  confirmDelayMs: 500,
  /** Attempts after which a stream that says "full" is believed: about 4 s. */
  fullAttempts: 8,
  /** Every so many attempts the stream's configuration is looked at. */
  diagnoseEvery: 4,
};

interface Found {
  readonly sequence: number;
  readonly marker: TransactionMarker;
}

/** Ends the waits of a marker when its writer closes. */
class MarkerClosedError extends DisconnectedError {}

export class SinkMarker {
  readonly #place: MarkerPlace;
  #owner: MarkerOwner;
  /** The job that it belongs to, when that is another one. */
  #adopted: InheritedFrom | undefined;
  readonly #publisher: AtomicPublisher;
  readonly #name: string;
  #sequence = 0;
  #marker: TransactionMarker | undefined;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(place: MarkerPlace, owner: MarkerOwner) {
    this.#place = place;
    this.#owner = owner;
    this.#publisher = new AtomicPublisher(place.nats);
    this.#name = `marker ${place.subject} in stream ${place.stream}`;
  }

  /** The marker as it was when it was taken over or advanced last. */
  get current(): TransactionMarker {
    if (this.#marker === undefined) throw new MarkerClosedError(`${this.#name} was not taken over`);
    return this.#marker;
  }

  /**
   * Fences every older generation (P23). Returns when the marker carries this generation.
   *
   * @throws what `takeOver` in transaction-marker.ts throws; CommitRefusedError when the stream refuses the marker
   */
  async takeOver(expected: MarkerExpectation): Promise<void> {
    await this.#takeOver(expected);
    this.#place.onPassed();
  }

  /** How many messages the server takes in one batch; asked until it is answered. */
  async batchMessagesMax(): Promise<number> {
    for (let attempts = 1; ; attempts += 1) {
      this.#assertOpen();
      const { subject } = this.#place;
      const answer = await this.#publisher.batchMessagesMax(subject, batchTimeoutMs(attempts));
      if (typeof answer === "number") {
        this.#place.onPassed();
        return answer;
      }
      this.#place.onRetry(`asking how large a batch may be: ${answer}`, attempts);
      await this.#sleep(retryDelayMs(attempts));
    }
  }

  async #takeOver(expected: MarkerExpectation): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      const found = await this.#read(expected.memory !== undefined);
      const wanted = takeOver(found?.marker, this.#owner, expected, this.#name);
      if (found !== undefined && wanted === found.marker) return this.#stand(wanted, found.sequence);
      const outcome = await this.#publish(undefined, wanted, found?.sequence ?? 0, attempts);
      if (outcome.kind === "stored") return this.#stand(wanted, outcome.sequence);
      await this.#waitAfter(outcome, undefined, 1, attempts);
    }
  }

  /**
   * Speaks for the job that the marker belongs to, which may still run: what is written carries the signature that is
   * found, so that the job is not fenced, and whichever of the two commits a part first, the other finds it done.
   *
   * @throws ObjectMissingError, CommitRefusedError when it is no marker, MarkerMovedError (TM6)
   */
  async adopt(from: InheritedFrom): Promise<void> {
    this.#adopted = from;
    this.#believe(await this.#read(true));
  }

  /**
   * Commits one part. Returns when part and marker are stored, by this call or by one before it.
   *
   * @param largestPart messages in the largest part of the transaction, the marker included
   * @throws FencedError, CommitRefusedError, ObjectMissingError, MarkerMovedError; DisconnectedError when closed
   */
  async advance(messages: MessageRange, position: MarkerPosition, largestPart: number): Promise<void> {
    await this.#advance(messages, position, largestPart);
    this.#place.onPassed();
  }

  async #advance(messages: MessageRange, position: MarkerPosition, largestPart: number): Promise<void> {
    for (let attempts = 1; ; attempts += 1) {
      // Anew each time: an adopted marker may have been taken over by a newer generation of its job meanwhile.
      const wanted: TransactionMarker = { ...this.current, ...position };
      const outcome = await this.#publish(messages, wanted, this.#sequence, attempts);
      if (outcome.kind === "stored") return this.#stand(wanted, outcome.sequence);
      const marker = this.#believe(await this.#read(true));
      if (partsCommitted(marker, position.checkpointId, position.parts) >= position.part) return;
      await this.#waitAfter(outcome, messages, largestPart, attempts);
    }
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  #believe(found: Found | undefined): TransactionMarker {
    if (this.#adopted !== undefined && found !== undefined) {
      assertKnownOwner(found.marker, this.#adopted, this.#name);
      this.#owner = signature(found.marker);
    }
    assertStillOwned(found?.marker, this.#owner, this.#name);
    this.#stand(found!.marker, found!.sequence);
    return found!.marker;
  }

  #stand(marker: TransactionMarker, sequence: number): void {
    this.#marker = marker;
    this.#sequence = sequence;
  }

  #publish(
    messages: MessageRange | undefined,
    marker: TransactionMarker,
    sequence: number,
    attempts: number,
  ): Promise<BatchOutcome> {
    this.#assertOpen();
    const last = {
      subject: this.#place.subject,
      payload: encodeMarker(marker, this.#place.subject),
      headers: {
        [MARKER_HEADER]: marker.incarnation,
        "Nats-Expected-Last-Subject-Sequence": String(sequence),
        "Nats-Rollup": "sub",
        "Nats-TTL": "never",
      },
    };
    return this.#publisher.publish(messages, last, batchTimeoutMs(attempts));
  }

  /** A leader read, repeated until it is answered (P20). undefined: there is no marker. */
  async #read(confirmMissing: boolean): Promise<Found | undefined> {
    let missing = 0;
    for (let attempts = 1; ; attempts += 1) {
      this.#assertOpen();
      try {
        const { stream, subject } = this.#place;
        const stored = await this.#place.manager.streams.getMessage(stream, { last_by_subj: subject });
        if (stored !== null) {
          return { sequence: stored.seq, marker: parseMarker(stored.string(), subject, this.#name) };
        }
        missing += 1;
        if (!confirmMissing || missing >= markerTiming.confirmations) return undefined;
        await this.#sleep(markerTiming.confirmDelayMs);
      } catch (error) {
        if (error instanceof CommitRefusedError || error instanceof MarkerClosedError) throw error;
        if (error instanceof ClosedConnectionError || error instanceof DrainingConnectionError) {
          throw new DisconnectedError("the connection to nats-server is closed", { cause: error });
        }
        if (isStreamMissing(error)) {
          missing += 1;
          if (missing >= markerTiming.confirmations) throw targetGone(this.#place.stream, error);
          await this.#sleep(markerTiming.confirmDelayMs);
        } else {
          this.#place.onRetry(`reading ${this.#name}: ${describeError(denialIn(error) ?? error)}`, attempts);
          await this.#sleep(retryDelayMs(attempts));
        }
      }
    }
  }

  /** Decides by the outcome whether another attempt makes sense, and when (SM4). */
  async #waitAfter(
    outcome: BatchOutcome,
    messages: MessageRange | undefined,
    largestPart: number,
    attempts: number,
  ): Promise<void> {
    if (outcome.kind === "stored" || (outcome.kind === "conflict" && attempts === 1)) return;
    const description = outcome.kind === "conflict" ? "the marker moved meanwhile" : outcome.description;
    const isFinal =
      outcome.kind === "refused" || (outcome.kind === "full" && attempts >= markerTiming.fullAttempts);
    const { nats, stream } = this.#place;
    const batch: RefusedBatch = { nats, stream, messages, largestPart };
    const diagnosed = isFinal || attempts % markerTiming.diagnoseEvery === 0;
    const held = diagnosed ? await this.#place.diagnose(batch) : undefined;
    if (isFinal) throw commitRefusal({ ...batch, held }, outcome);
    this.#place.onRetry(`${this.#name}: ${description}`, attempts);
    await this.#sleep(retryDelayMs(attempts));
  }

  #assertOpen(): void {
    if (this.#closed) throw new MarkerClosedError(`${this.#name}: the writer was closed`);
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }
}

function batchTimeoutMs(attempts: number): number {
  return Math.min(markerTiming.batchTimeoutMs * 2 ** (attempts - 1), markerTiming.batchTimeoutMsMax);
}

/** Doubles, and is spread so that writers which failed together do not come again together. */
function retryDelayMs(attempts: number): number {
  const limit = Math.min(markerTiming.retryDelayMs * 2 ** (attempts - 1), markerTiming.retryDelayMsMax);
  return limit * (0.5 + Math.random() / 2);
}
