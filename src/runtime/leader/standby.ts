/**
 * Whether a coordinator that stands by keeps checkpoints where the leader does (P62): both sides of that question.
 *
 * Owns: asking the leader for as long as another one leads, and what the leader answers. Does not own: how a directory
 * is proven (directory-proofs.ts, ../directory-claim.ts), which coordinator leads (lease.ts).
 *
 * - SY1 A standby asks from its start on, and again and again, because each leader asks anew. It never waits with its
 *   candidature: a leader that is gone, or answers nothing, is taken over whether it has answered or not.
 * - SY2 It is refused when the leader can prove that the two directories differ, and ends.
 * - SY3 One that leads unproven takes nothing for lost because its directory does not have it, until a worker has
 *   proven that the directory is the job's. It refuses none whose directory is another one, and gives way to a
 *   coordinator that has another one.
 */
import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../clock.ts";
import type { ControlLink } from "../../control/link.ts";
import type { LeaderAnswer, StandbyRequest } from "../../control/messages.ts";
import { shapes } from "../../control/shapes.ts";
import { type StoreIdentity, withStore } from "../../control/store-identity.ts";
import type { Subscription } from "../../dataflow/channel/bus.ts";
import type { Subjects } from "../../dataflow/channel/subjects.ts";
import type { Logger } from "../../dataflow/connector.ts";
import { ForeignAnswerError, RequestRefusedError, retryOf } from "../../errors.ts";
import type { Troubles } from "../../observe/troubles.ts";
import { DirectoryClaim } from "../directory-claim.ts";
import { newLife } from "../life.ts";
import { RareLines } from "../rare-lines.ts";
import type { StoreGuard } from "../store-guard.ts";
import type { Timings } from "../timings.ts";
import type { DirectoryDoubt } from "./directory-doubt.ts";
import { DirectoryProofs, type DirectoryProofsOptions } from "./directory-proofs.ts";

/** Once proven: the leader may be another one by now. */
const PROVEN_PAUSE_MS = 5000;
const ANSWER_MS = 1000;
const REMEMBERED_MAX = 1000;

export interface StandbyOptions {
  readonly id: string;
  readonly place: string;
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  readonly clock: Clock;
  readonly timings: Timings;
  readonly troubles: Troubles;
  readonly newId: () => string;
  readonly identity?: StoreIdentity | undefined;
  /** Resolves when another coordinator leads, or at the end. */
  readonly untilLedElsewhere: () => Promise<void>;
  readonly onRefused: (error: RequestRefusedError) => void;
}

/** The side of the coordinator that stands by. */
export class Standby {
  readonly #options: StandbyOptions;
  readonly #life = newLife();
  readonly #claim: DirectoryClaim;
  /** What its questions and their answers are sealed with (P69). */
  readonly #secret: string;
  #isUnproven = false;
  #isFirst = true;

  constructor(options: StandbyOptions) {
    this.#options = options;
    // None may have led when it was started, so that none could say so.
    this.#isUnproven = options.storage.notes !== undefined;
    this.#claim = new DirectoryClaim(options.storage, options.id, options.newId());
    this.#secret = options.newId();
  }

  start(): void {
    void this.#ask();
  }

  /** No other leader has said that its directory is the same. */
  get isUnproven(): boolean {
    return this.#isUnproven;
  }

  async stop(): Promise<void> {
    this.#life.abort();
    await this.#claim.end();
  }

  async #ask(): Promise<void> {
    const { link, subjects, clock, timings, troubles, untilLedElsewhere, onRefused, identity } =
      this.#options;
    const { signal } = this.#life;
    const watch = troubles.watch(
      "proving to the leading coordinator that the checkpoint directory is the same",
    );
    for (;;) {
      // Where none leads there is nothing to prove, and the lease is being taken over.
      await untilLedElsewhere();
      if (signal.aborted) break;
      if (this.#isFirst) this.#isUnproven = true;
      this.#isFirst = false;
      let pauseMs = timings.registerIntervalMs;
      try {
        const request = await withStore(this.#request(), identity);
        const answer = await link.ask(subjects.leader(), request, shapes.leaderAnswer, ANSWER_MS, {
          secret: this.#secret,
        });
        watch.passed();
        if (answer.answer === "unproven" && (await this.#claim.prove(answer.note))) continue;
        if (answer.answer !== "unproven") await this.#claim.end();
        if (answer.answer === "accepted") {
          pauseMs = PROVEN_PAUSE_MS;
          this.#isUnproven = false;
        }
        if (answer.answer === "refused" && !signal.aborted) {
          await this.stop();
          onRefused(new RequestRefusedError(answer.reason));
        }
      } catch (error) {
        if (retryOf(error) !== "now") throw error;
        if (error instanceof ForeignAnswerError) identity?.doubt();
        watch.failed(error);
      }
      await pauseOn(clock, pauseMs, signal);
    }
    watch.forget();
  }

  #request(): StandbyRequest {
    const { id, place, storage } = this.#options;
    return {
      type: "standby.prove",
      coordinator: id,
      secret: this.#secret,
      place,
      storage: storage.description,
      directory: this.#claim.present,
    };
  }
}

export interface StandbyAdmissionOptions extends DirectoryProofsOptions {
  readonly logger: Logger;
  readonly link: ControlLink;
  readonly subjects: Subjects;
  /** Answers a process of another cluster (P71). */
  readonly guard: StoreGuard;
  readonly doubt: DirectoryDoubt;
  /** A coordinator stands by whose directory is another one, and this one lacks what a job needs. */
  readonly onGivingWay: (error: RequestRefusedError) => void;
  readonly onError: (error: unknown) => void;
}

/** The side of the leader, for as long as it leads. */
export class StandbyAdmission {
  readonly #options: StandbyAdmissionOptions;
  readonly #proofs: DirectoryProofs;
  readonly #proven = new Set<string>();
  readonly #refusals: RareLines;
  readonly #wire: Subscription;

  constructor(options: StandbyAdmissionOptions) {
    const { link, subjects, onError } = options;
    this.#options = options;
    this.#refusals = new RareLines(options.clock, options.logger);
    this.#proofs = new DirectoryProofs(options);
    this.#wire = link.serve(
      subjects.leader(),
      shapes.standbyRequest,
      options.guard.around(subjects.leader(), (request) => this.#judge(request)),
      onError,
      ({ secret }) => secret,
    );
  }

  close(): void {
    this.#wire.close();
    this.#proofs.close();
  }

  async #judge({ coordinator, place, storage: theirs, directory }: StandbyRequest): Promise<LeaderAnswer> {
    const { storage } = this.#options;
    if (this.#proven.has(coordinator)) return { answer: "accepted" };
    const name = `coordinator ${coordinator} (${place})`;
    const bothDirectories = directory !== null && storage.notes !== undefined;
    const objection: LeaderAnswer | undefined =
      !bothDirectories && theirs !== storage.description
        ? { answer: "refused", reason: this.#otherStorage(name, theirs) }
        : await this.#proofs.judge({
            id: coordinator,
            name,
            kind: "the coordinator that stands by",
            leaderKind: "the leading coordinator",
            keeps: "checkpoints",
            directory,
          });
    const { lacking } = this.#options.doubt;
    if (objection?.answer === "refused" && lacking !== undefined) {
      this.#options.onGivingWay(new RequestRefusedError(givingWay(lacking, name)));
      return { answer: "unknown" };
    }
    if (objection?.answer === "refused") this.#refusals.warn({ coordinator }, objection.reason);
    if (objection !== undefined) return objection;
    if (this.#proven.size >= REMEMBERED_MAX) this.#proven.clear();
    this.#proven.add(coordinator);
    return { answer: "accepted" };
  }

  #otherStorage(name: string, theirs: string): string {
    const { storage, host } = this.#options;
    return (
      `${name} keeps checkpoints in ${theirs}, but the leading coordinator on host ${host} keeps them in ${storage.description}: ` +
      "after a change of leader neither could read what the other has written; give both the same --checkpoint-dir, or none"
    );
  }
}

function givingWay(lacking: string, name: string): string {
  return (
    `${lacking}, and nothing has proven to this coordinator that its jobs have their checkpoints there. It gives way to ` +
    `${name}, which keeps checkpoints in another place. No job has failed; start this one again with the ` +
    "--checkpoint-dir of the others"
  );
}
