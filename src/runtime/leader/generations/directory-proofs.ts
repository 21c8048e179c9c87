/**
 * Proofs that a worker keeps checkpoints in the very directory of its leader (P53).
 *
 * Owns: the leader's notes, what has been read of each side so far, and for how long it has been tried. Does not own: what
 * follows from it (registration.ts), how a note is stored (checkpoint/directory-notes.ts).
 *
 * DP1  A worker is proven when the leader has read the worker's note, and the worker has sent what the leader's note says.
 * DP2  A directory that cannot be read or written at present proves nothing against anyone: that time does not count.
 * DP3  A note stays for as long as its proof is under way. One that the worker does not ask for any more is over.
 */

import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import type { Clock, Timer } from "../../../clock.ts";
import type { LeaderAnswer, WorkerRegistration } from "../../../control/messages.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { directoryRefusal } from "./registration.ts";

export interface DirectoryProofsOptions {
  readonly storage: Pick<CheckpointStorage, "notes" | "description">;
  readonly job: string;
  readonly leader: string;
  /** Host of this process, for messages. */
  readonly host: string;
  readonly clock: Clock;
  readonly troubles: TroubleWatcher;
  readonly newId: () => string;
  /** A note that the other side does not see for so long lies in another directory. */
  readonly boundMs: number;
}

/** A worker that lives registers a few times a second. */
const UNASKED_MS = 15_000;

interface Proof {
  readonly note: string;
  readonly secret: string;
  readonly watch: TroubleWatch;
  /** Since when both sides could read and write, and yet one did not see the other's note. */
  sinceMs: number | undefined;
  /** Of DP3. */
  expiry: Timer | undefined;
}

export class DirectoryProofs {
  readonly #options: DirectoryProofsOptions;
  readonly #proofs = new Map<string, Proof>();

  constructor(options: DirectoryProofsOptions) {
    this.#options = options;
  }

  /** undefined: it is proven, or there is nothing to prove. Else what the worker is told. */
  async judge(registration: WorkerRegistration): Promise<LeaderAnswer | undefined> {
    const { storage, job, host, clock, boundMs } = this.#options;
    const { worker, directory } = registration;
    const { notes } = storage;
    if (notes === undefined || directory === null) return undefined;
    const proof = this.#proofOf(worker);
    const unproven = { answer: "unproven", note: proof.note } as const;
    try {
      await notes.leave(proof.note, proof.secret);
      // Not before it is there: a network file system may remember for a while that it is not.
      const found = directory.secret === "" ? undefined : await notes.read(directory.note);
      // Another registration of this worker has come to an end meanwhile.
      if (this.#proofs.get(worker) !== proof) return unproven;
      const seen = {
        byLeader: found !== undefined && found === directory.secret,
        byWorker: directory.read === proof.secret,
      };
      if (seen.byLeader && seen.byWorker) {
        this.forget(worker);
        return undefined;
      }
      if (directory.obstacle !== null) throw new Error(`on ${directory.host}: ${directory.obstacle}`);
      proof.sinceMs ??= clock.elapsedMs();
      const reason = directoryRefusal({
        worker,
        job,
        offered: directory,
        own: { host, path: notes.path },
        seen,
      });
      proof.watch.failed(reason);
      if (clock.elapsedMs() - proof.sinceMs >= boundMs) {
        this.forget(worker);
        return { answer: "refused", reason };
      }
    } catch (error) {
      if (this.#proofs.get(worker) !== proof) return unproven;
      proof.sinceMs = undefined;
      proof.watch.failed(error);
    }
    return unproven;
  }

  /** The worker is proven, refused or gone. */
  forget(worker: string): void {
    const proof = this.#proofs.get(worker);
    if (proof === undefined) return;
    this.#proofs.delete(worker);
    proof.expiry?.cancel();
    proof.watch.forget();
    void this.#options.storage.notes?.remove(proof.note);
  }

  close(): void {
    for (const worker of [...this.#proofs.keys()]) this.forget(worker);
  }

  #proofOf(worker: string): Proof {
    const { leader, newId, troubles, clock } = this.#options;
    const proof: Proof = this.#proofs.get(worker) ?? {
      note: `proof-${leader}-${worker}`,
      secret: newId(),
      watch: troubles.watch(`finding out whether worker ${worker} has the same checkpoint directory`),
      sinceMs: undefined,
      expiry: undefined,
    };
    proof.expiry?.cancel();
    proof.expiry = clock.after(UNASKED_MS, () => this.forget(worker));
    this.#proofs.set(worker, proof);
    return proof;
  }
}
