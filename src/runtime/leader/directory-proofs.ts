/**
 * Proofs that another process keeps checkpoints in the very directory of the leader: a worker (P53), or a coordinator
 * that stands by (P62).
 *
 * Owns: the leader's notes, what has been read of each side so far, and for how long it has been tried. Does not own:
 * what follows from it (generations/worker-admission.ts, standby.ts), how a note is stored
 * (checkpoint/directory-notes.ts).
 *
 * DP1  A process is proven when the leader has read its note, and it has sent what the leader's note says.
 * DP2  A directory that cannot be read or written at present proves nothing against anyone: that time does not count.
 * DP3  A note stays for as long as its proof is under way. One that the process does not ask for any more is over.
 */

import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import type { Clock, Timer } from "../../clock.ts";
import type { LeaderAnswer, OfferedDirectory } from "../../control/messages.ts";
import type { TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";

export interface DirectoryProofsOptions {
  readonly storage: Pick<CheckpointStorage, "notes" | "description">;
  readonly leader: string;
  /** Host of this process, for messages. */
  readonly host: string;
  readonly clock: Clock;
  readonly troubles: TroubleWatcher;
  readonly newId: () => string;
  /** A note that the other side does not see for so long lies in another directory. */
  readonly boundMs: number;
}

/** The process whose directory is to be proven. */
export interface Claimant {
  /** Random per process start. */
  readonly id: string;
  /** In words: "worker 5f…". */
  readonly name: string;
  /** Its kind, and that of the leader, in words: "the worker", "the coordinator". */
  readonly kind: string;
  readonly leaderKind: string;
  /** What it keeps in the directory: "checkpoints of job words". */
  readonly keeps: string;
  readonly directory: OfferedDirectory | null;
}

/** Which side has seen the note that the other one has left. */
interface NotesSeen {
  readonly byLeader: boolean;
  readonly byClaimant: boolean;
}

/** A process that lives asks a few times a second. */
const UNASKED_MS = 15_000;

interface Proof {
  readonly note: string;
  readonly secret: string;
  readonly watch: TroubleWatch;
  /** Since when both sides could read and write, and yet one did not see the other's note. */
  sinceMs: number | undefined;
  /** The timer of DP3. */
  expiry: Timer | undefined;
}

export class DirectoryProofs {
  readonly #options: DirectoryProofsOptions;
  readonly #proofs = new Map<string, Proof>();

  constructor(options: DirectoryProofsOptions) {
    this.#options = options;
  }

  /** undefined: it is proven, or there is nothing to prove. Else what the process is told. */
  async judge(claimant: Claimant): Promise<LeaderAnswer | undefined> {
    const { storage, host, clock, boundMs } = this.#options;
    const { id, directory } = claimant;
    const { notes } = storage;
    if (notes === undefined || directory === null) return undefined;
    const proof = this.#proofOf(claimant);
    const unproven = { answer: "unproven", note: proof.note } as const;
    try {
      await notes.leave(proof.note, proof.secret);
      // Not before it is there: a network file system may remember for a while that it is not.
      const found = directory.secret === "" ? undefined : await notes.read(directory.note);
      // Another request of this process has come to an end meanwhile.
      if (this.#proofs.get(id) !== proof) return unproven;
      const seen = {
        byLeader: found !== undefined && found === directory.secret,
        byClaimant: directory.read === proof.secret,
      };
      if (seen.byLeader && seen.byClaimant) {
        this.forget(id);
        return undefined;
      }
      if (directory.obstacle !== null) throw new Error(`on ${directory.host}: ${directory.obstacle}`);
      proof.sinceMs ??= clock.elapsedMs();
      const reason = refusalOf(claimant, directory, { host, path: notes.path }, seen);
      proof.watch.failed(reason);
      if (clock.elapsedMs() - proof.sinceMs >= boundMs) {
        this.forget(id);
        return { answer: "refused", reason };
      }
    } catch (error) {
      if (this.#proofs.get(id) !== proof) return unproven;
      proof.sinceMs = undefined;
      proof.watch.failed(error);
    }
    return unproven;
  }

  /** The process is proven, refused or gone. */
  forget(id: string): void {
    const proof = this.#proofs.get(id);
    if (proof === undefined) return;
    this.#proofs.delete(id);
    proof.expiry?.cancel();
    proof.watch.forget();
    void this.#options.storage.notes?.remove(proof.note);
  }

  close(): void {
    for (const id of [...this.#proofs.keys()]) this.forget(id);
  }

  #proofOf({ id, name }: Claimant): Proof {
    const { leader, newId, troubles, clock } = this.#options;
    const proof: Proof = this.#proofs.get(id) ?? {
      note: `proof-${leader}-${id}`,
      secret: newId(),
      watch: troubles.watch(`finding out whether ${name} has the same checkpoint directory`),
      sinceMs: undefined,
      expiry: undefined,
    };
    proof.expiry?.cancel();
    proof.expiry = clock.after(UNASKED_MS, () => this.forget(id));
    this.#proofs.set(id, proof);
    return proof;
  }
}

type Place = Pick<OfferedDirectory, "host" | "path">;

/** In words, when the notes of one side, or of both, are not seen by the other one. */
function refusalOf(claimant: Claimant, offered: Place, own: Place, seen: NotesSeen): string {
  const { name, kind, leaderKind, keeps } = claimant;
  const theirs = `${offered.path} on host ${offered.host}`;
  const ours = `${own.path} on host ${own.host}`;
  const [writer, reader] = seen.byLeader ? [leaderKind, kind] : [kind, leaderKind];
  const finding =
    seen.byLeader || seen.byClaimant
      ? `a file that is written by ${writer} is not seen by ${reader}: one of the two mounts is stale, or a copy of the other`
      : "neither sees a file that the other one writes: these are two directories";
  return (
    `${name} keeps ${keeps} in ${theirs}, ${leaderKind} in ${ours}, and ${finding}; ` +
    "mount one directory that all processes share and give each its path there (--checkpoint-dir, checkpointing.directory), " +
    "or give none, so that checkpoints lie in NATS"
  );
}
