/**
 * Admits the workers of one job: those that can run it, and whose checkpoint directory is the leader's.
 *
 * Owns: what a worker that registers is answered. Does not own: what is wrong with one (registration.ts), how a
 * directory is proven (directory-proofs.ts), which workers are registered (worker-registry.ts).
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { LeaderAnswer, WorkerRegistration } from "../../../control/messages.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { DirectoryDoubt } from "../directory-doubt.ts";
import { DirectoryProofs, type DirectoryProofsOptions } from "../directory-proofs.ts";
import { otherCode, refusalOf } from "./registration.ts";
import type { WorkerRegistry } from "./worker-registry.ts";

export interface WorkerAdmissionOptions extends DirectoryProofsOptions {
  readonly logger: Logger;
  readonly workers: WorkerRegistry;
  readonly record: () => JobRecord;
  /** No worker is wanted any more. */
  readonly ended: () => boolean;
  readonly doubt: DirectoryDoubt;
}

const UNREACHED =
  "the leading coordinator has the registration, and its question to this worker is not answered: it may be slow, or the " +
  "NATS user of one of the two may not publish or subscribe below the cluster's prefix or to inboxes";

export class WorkerAdmission {
  readonly #options: WorkerAdmissionOptions;
  readonly #directories: DirectoryProofs;

  constructor(options: WorkerAdmissionOptions) {
    this.#options = options;
    this.#directories = new DirectoryProofs(options);
  }

  async register(registration: WorkerRegistration): Promise<LeaderAnswer> {
    const { storage, logger, workers, record, ended, doubt } = this.#options;
    const { job, worker } = registration;
    if (ended()) return { answer: "unknown" };
    const other = otherCode(registration, record());
    if (other !== undefined) return { answer: "refused", ...other };
    const reason = refusalOf(registration, record(), storage);
    if (reason !== undefined) return { answer: "refused", reason };
    const reached = await workers.reach(registration);
    if (reached === undefined) return { answer: "unknown", reason: UNREACHED };
    if (!workers.has(worker)) {
      const objection = await this.#directories.judge({
        id: worker,
        name: `worker ${worker}`,
        kind: "the worker",
        leaderKind: "the coordinator",
        keeps: `checkpoints of job ${job}`,
        directory: registration.directory,
      });
      // The worker's directory may be the right one: it waits for a coordinator that has it, too.
      if (objection?.answer === "refused" && doubt.lacking !== undefined)
        return { answer: "unknown", reason: `${doubt.lacking}; ${objection.reason}` };
      if (objection?.answer === "refused") logger.warn({ job, worker }, objection.reason);
      if (objection !== undefined) return objection;
    }
    if (ended()) return { answer: "unknown" };
    workers.register(registration, reached);
    const { generations, planSince } = record();
    return { answer: "accepted", generations, planSince };
  }

  close(): void {
    this.#directories.close();
  }
}
