/**
 * Which requests of clients are new, and about the job as it is (P75). Whatever was said on the bus may come again,
 * also much later, and a request has the same meaning in every life of a job.
 *
 * Owns: nonces, and what a request that is not new is answered. Does not own: what becomes of one that is.
 *
 * - RN1 A nonce is a check sum with a secret of this leader: of the job, its life, whether that has ended, and the
 *   time. So nothing is kept of it, no other leader takes it, and it is over with the life, and after half a minute
 *   anyway.
 * - RN2 The same message is taken once: its secret is remembered for as long as its nonce lasts.
 * - RN3 A request is about the life that its client has met first. In a later one it is refused in words, because its
 *   client waits for them.
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { Clock } from "../../../clock.ts";
import type { Changing, LeaderAnswer, SelfSealed } from "../../../control/messages.ts";
import { sealOf } from "../../../control/seal.ts";
import { hasEnded } from "./refusals.ts";

/** Much longer than a message is under way, and shorter than it takes a user to want the opposite. */
const LASTS_MS = 30_000;
/** What is forgotten earlier could come again: a client asks once in 200 ms at most. */
const TAKEN_MAX = 50_000;
const NOTHING = new Uint8Array();

export type JobLife = Pick<JobRecord, "submissionId" | "status">;

/** The life of a job, as requests name it. */
export const lifeOf = (record: Pick<JobRecord, "submissionId"> | undefined): string =>
  record?.submissionId ?? "";

export class RequestNonces {
  readonly #secret: string;
  readonly #clock: Clock;
  /** The secrets of the messages that were taken, and when, oldest first. */
  readonly #takenMs = new Map<string, number>();

  constructor(clock: Clock, secret: string) {
    this.#clock = clock;
    this.#secret = secret;
  }

  /**
   * undefined: the request is new; it is taken by this. Whether it is about this life is not looked at.
   * @param record undefined: there is no job of this name
   */
  stale(
    { secret, meant }: SelfSealed & Changing,
    job: string,
    record: JobLife | undefined,
  ): LeaderAnswer | undefined {
    const nowMs = this.#clock.elapsedMs();
    const [atMs] = (meant?.nonce ?? "").split(" ");
    const isGood =
      secret !== undefined &&
      meant !== undefined &&
      meant.nonce === this.#nonce(job, record, Number(atMs)) &&
      nowMs - Number(atMs) <= LASTS_MS &&
      !this.#takenMs.has(secret);
    if (!isGood)
      return { answer: "stale", life: lifeOf(record), nonce: this.#nonce(job, record, Math.floor(nowMs)) };
    this.#take(secret, nowMs);
    return undefined;
  }

  #nonce(job: string, record: JobLife | undefined, atMs: number): string {
    const state = record !== undefined && hasEnded(record) ? "ended" : "lives";
    return `${atMs} ${sealOf(this.#secret, `${job} ${lifeOf(record)} ${state} ${atMs}`, NOTHING)}`;
  }

  #take(secret: string, nowMs: number): void {
    for (const [taken, atMs] of this.#takenMs) {
      if (nowMs - atMs <= LASTS_MS && this.#takenMs.size < TAKEN_MAX) break;
      this.#takenMs.delete(taken);
    }
    this.#takenMs.set(secret, nowMs);
  }
}
