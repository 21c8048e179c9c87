/**
 * Checkpoints that this leader has given up: what of them is still in the storage, and which subtasks may still say so
 * (P48).
 *
 * Owns: which objects are due, and when. Does not own: the deleting (object-reaper.ts), which deletes nothing that the
 * record reaches. Lost with the leader: what it has not deleted is found by the next generation's sweep.
 *
 * GU1  Nothing is due before a stored write of the record says that the checkpoint is given up (P16).
 * GU2  What late acknowledgements and reports name afterwards is due at once, however often and in whatever order they
 *      come.
 * GU3  A checkpoint is over when every subtask has reported that nothing of it is under way any more, and all is
 *     deleted. Those that are not over hold new ones back (OR3).
 */
import type { JobRecord, SubtaskName } from "../../../../machines/protocol.ts";

interface GivenUp {
  /** The subtasks that have not reported. */
  readonly awaited: Set<SubtaskName>;
  recorded: boolean;
  due: string[];
  deletions: number;
  over: boolean;
}

export interface GivenUpCheckpointsOptions {
  /** Never rejects. */
  readonly remove: (names: readonly string[]) => Promise<unknown>;
  /** So many more are not over. */
  readonly onCount: (more: number) => void;
}

/** Late reports are repeated until they are answered, so none is this late. */
const REMEMBERED = 1000;

export class GivenUpCheckpoints {
  readonly #options: GivenUpCheckpointsOptions;
  readonly #checkpoints = new Map<number, GivenUp>();

  constructor(options: GivenUpCheckpointsOptions) {
    this.#options = options;
  }

  /** @param names what its acknowledgements have named so far, and its manifest */
  add(checkpointId: number, names: readonly string[], subtasks: readonly SubtaskName[]): void {
    const given = { recorded: false, due: [...names], deletions: 0, over: false };
    this.#checkpoints.set(checkpointId, { awaited: new Set(subtasks), ...given });
    this.#options.onCount(1);
    const [oldest] = this.#checkpoints;
    if (this.#checkpoints.size > REMEMBERED && oldest?.[1].over) this.#checkpoints.delete(oldest[0]);
  }

  /** A late acknowledgement; with `reporter`: nothing of it is under way there any more. */
  named(checkpointId: number, names: readonly string[], reporter?: SubtaskName): void {
    const one = this.#checkpoints.get(checkpointId);
    if (one === undefined) return;
    one.due.push(...names);
    if (reporter !== undefined) one.awaited.delete(reporter);
    this.#goOn(one);
  }

  /** After each stored write of the record. */
  stored({ aborted }: JobRecord): void {
    for (const { checkpointId } of aborted) {
      const one = this.#checkpoints.get(checkpointId);
      if (one === undefined || one.recorded) continue;
      one.recorded = true;
      this.#goOn(one);
    }
  }

  /** A generation is over: its subtasks report no more. */
  stopWaiting(): void {
    for (const one of this.#checkpoints.values()) {
      one.awaited.clear();
      this.#goOn(one);
    }
  }

  #goOn(one: GivenUp): void {
    if (!one.recorded) return;
    const { due } = one;
    if (due.length > 0) {
      one.due = [];
      one.deletions++;
      void this.#options.remove(due).then(() => {
        one.deletions--;
        this.#goOn(one);
      });
    } else if (!one.over && one.deletions === 0 && one.awaited.size === 0) {
      one.over = true;
      this.#options.onCount(-1);
    }
  }
}
