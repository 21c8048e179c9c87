/**
 * Restores, asked of the leader: the record that one begins with, or whether there could be one (P56).
 *
 * Owns: that both come to the same answer. Does not own: whether a job may be there (submission.ts), whether a state
 * fits and how it is copied (fork.ts).
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { JobSubmission, LeaderAnswer, RestoreRequest } from "../../../control/messages.ts";
import { RequestRefusedError } from "../../../errors.ts";
import { assertForkable, forkFrom, type LeaderSources, type NewLife } from "./fork.ts";
import { type Admission, type AdmissionFacts, forkRecord, forkRefusal } from "./submission.ts";

export interface RestoresOptions extends LeaderSources {
  readonly newId: () => string;
}

/** What a client asks for. */
export interface RestoreQuestion {
  readonly submission: JobSubmission;
  readonly fresh: boolean;
  readonly restore: RestoreRequest;
}

const NEVER = new AbortController().signal;

export class Restores {
  readonly #options: RestoresOptions;

  constructor(options: RestoresOptions) {
    this.#options = options;
  }

  /** The job begins with what it is restored from, copied into its own storage. */
  async admit(
    existing: JobRecord | undefined,
    { submission, fresh, restore }: RestoreQuestion,
    facts: AdmissionFacts,
  ): Promise<Admission> {
    const refused = forkRefusal(existing, submission, fresh, facts);
    if (refused !== undefined) return { refused };
    try {
      const fork = await forkFrom(
        restore,
        submission,
        lifeAfter(existing, facts.newId()),
        this.#options,
        facts.nowMs,
        NEVER,
      );
      return { record: forkRecord(existing, submission, fork, facts) };
    } catch (error) {
      if (error instanceof RequestRefusedError) return { refused: error.message };
      throw error;
    }
  }

  /** Answers as `admit` does, but nothing begins, and nothing stays. */
  async rehearse(
    existing: JobRecord | undefined,
    { submission, fresh, restore }: RestoreQuestion,
  ): Promise<LeaderAnswer> {
    const { storage, newId } = this.#options;
    const refused = forkRefusal(existing, submission, fresh, { storage: storage.description });
    if (refused !== undefined) return { answer: "refused", reason: refused };
    try {
      await assertForkable(restore, submission, lifeAfter(existing, newId()), this.#options, NEVER);
      return { answer: "restorable" };
    } catch (error) {
      if (error instanceof RequestRefusedError) return { answer: "refused", reason: error.message };
      throw error;
    }
  }
}

const lifeAfter = (existing: JobRecord | undefined, incarnation: string): NewLife => ({
  incarnation,
  generation: (existing?.generation ?? 0) + 1,
});
