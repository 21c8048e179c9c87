/**
 * One writer's marker in a target: the fence and the progress of its transactions.
 *
 * Owns: taking it over, moving it on, and settling by it what a call may have done. Does not own: what a found marker
 * means (dataflow/transaction-marker.ts, TM1 to TM6), the step itself (target.ts).
 *
 * - XT1 A marker moves in the very step that writes the records of its transaction, and only from the marker that was
 *   read: both are done, or neither (P22, C3).
 * - XT2 After a step whose outcome is not known, the marker is read before the next one is tried (P8).
 */
import type { InheritedFrom } from "../../dataflow/sink.ts";
import {
  assertKnownOwner,
  assertStillOwned,
  type MarkerExpectation,
  missingMarker,
  partsCommitted,
  signature,
  takeOver,
} from "../../dataflow/transaction-marker.ts";
import { CommitRefusedError, InvariantError } from "../../errors.ts";
import type { MarkerOwner, TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import type { MarkerKey, StagedTransaction, TransactionTarget } from "./target.ts";

/** A target that refuses a marker so often in a row as it then shows it does not compare what it shows. */
const DENIALS_MAX = 5;

export class TargetMarker<B> {
  readonly #target: TransactionTarget<B>;
  readonly #key: MarkerKey;
  readonly #place: string;
  /** The job that it belongs to, when that is another one. */
  #inheritedFrom: InheritedFrom | undefined;
  #owner: MarkerOwner;
  #standing: TransactionMarker | undefined;
  /** The last step may have been done (XT2). */
  #isDoubtful = false;

  /** @param place of the target, in words: "table tidemark_marker of database orders" */
  constructor(target: TransactionTarget<B>, key: MarkerKey, owner: MarkerOwner, place: string) {
    this.#target = target;
    this.#key = key;
    this.#owner = signature(owner);
    this.#place = `marker ${key.incarnation}/${key.operator}/${key.writer} in ${place}`;
  }

  get current(): TransactionMarker {
    if (this.#standing === undefined) throw new InvariantError(`${this.#place} was not taken over`);
    return this.#standing;
  }

  /** Fences every older generation (P23). @throws what `takeOver` in dataflow/transaction-marker.ts throws */
  async takeOver(expected: MarkerExpectation): Promise<void> {
    for (let denials = 0; ; denials += 1) {
      const found = await this.#target.readMarker(this.#key);
      const wanted = takeOver(found, this.#owner, expected, this.#place);
      if (found === wanted || (await this.#replace(found, wanted, undefined, denials))) {
        this.#standing = wanted;
        return;
      }
    }
  }

  /**
   * Speaks for the job that the marker belongs to, which may still run: its signature stays, so it is not fenced, and
   * whichever of the two commits a transaction first, the other finds it done.
   *
   * @throws ObjectMissingError, MarkerMovedError (TM6)
   */
  async adopt(inheritedFrom: InheritedFrom): Promise<void> {
    this.#inheritedFrom = inheritedFrom;
    await this.#read();
  }

  /**
   * Writes the transaction and moves the marker to it, unless that is done already.
   *
   * @throws FencedError, CommitRefusedError, ObjectMissingError, MarkerMovedError; anything else: call it again
   */
  async advance(transaction: StagedTransaction<B>): Promise<void> {
    const { checkpointId } = transaction;
    for (let denials = 0; ; denials += 1) {
      const standing = this.#isDoubtful ? await this.#read() : this.current;
      if (partsCommitted(standing, checkpointId, 1) === 1) return;
      const next: TransactionMarker = { ...standing, checkpointId, part: 1, parts: 1 };
      this.#isDoubtful = true;
      if (await this.#replace(standing, next, transaction, denials)) {
        this.#standing = next;
        this.#isDoubtful = false;
        return;
      }
    }
  }

  async #read(): Promise<TransactionMarker> {
    const found = await this.#target.readMarker(this.#key);
    if (this.#inheritedFrom !== undefined) {
      if (found === undefined) throw missingMarker(this.#place);
      assertKnownOwner(found, this.#inheritedFrom, this.#place);
      this.#owner = signature(found);
    }
    assertStillOwned(found, this.#owner, this.#place);
    const reached = this.#standing?.checkpointId ?? 0;
    if (found.checkpointId < reached)
      throw new CommitRefusedError(
        `${this.#place} was set back: it stands at transaction ${found.checkpointId}, and was at ${reached} already. ` +
          "Restore the target, or start the job fresh",
      );
    this.#standing = found;
    this.#isDoubtful = false;
    return found;
  }

  async #replace(
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
    transaction: StagedTransaction<B> | undefined,
    denials: number,
  ): Promise<boolean> {
    if (denials === DENIALS_MAX)
      throw new CommitRefusedError(
        `${this.#place} was refused ${DENIALS_MAX} times as another one than it was read as. Is it changed by anybody else, ` +
          "or does the target read an older copy than it writes to?",
      );
    return this.#target.replaceMarker(this.#key, expected, next, transaction);
  }
}
