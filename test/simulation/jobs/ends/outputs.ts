/**
 * What all jobs of a simulation have committed at transactional sinks, and which of it one of them answers for.
 *
 * - OL1 A job answers for what its incarnation has committed, and for what those have that it was restored from.
 * - OL2 Of one from which it parted (that job goes on, or its user went back in it) it answers only for what lies in
 *   front of the place of the restore.
 * - OL3 What was parted from and has ended commits nothing any more.
 */
import type { JobRecord, RestoreOrigin } from "../../../../machines/protocol.ts";
import type { TransactionMarker } from "../../../../src/formats/transactions/transaction-marker.ts";
import type { Item } from "../drawing.ts";

interface Commit {
  readonly incarnation: string;
  readonly checkpointId: number;
  readonly items: readonly Item[];
}

export class Outputs {
  readonly #commits = new Map<string, Commit[]>();
  /** By incarnation: what it was restored from; null: it began with nothing. */
  readonly #origins = new Map<string, RestoreOrigin | null>();
  /** By incarnation that has ended: how many commits it had. */
  readonly #ended = new Map<string, number>();

  recordStored({ incarnation, origin }: JobRecord): void {
    this.#origins.set(incarnation, origin);
  }

  committed(sink: string, { incarnation, checkpointId }: TransactionMarker, items: readonly Item[]): void {
    if (items.length === 0) return;
    const commits = this.#commits.get(sink);
    const commit = { incarnation, checkpointId, items };
    if (commits === undefined) this.#commits.set(sink, [commit]);
    else commits.push(commit);
  }

  /** @param partedFrom incarnations */
  of(sink: string, incarnation: string, partedFrom: ReadonlySet<string>): Item[] {
    const upTo = this.#upTo(incarnation, partedFrom);
    const commits = this.#commits.get(sink) ?? [];
    return commits.flatMap((one) => (one.checkpointId <= (upTo.get(one.incarnation) ?? -1) ? one.items : []));
  }

  /** The user goes back behind what this incarnation has written, and it has ended in good order. */
  ended(incarnation: string): void {
    this.#ended.set(incarnation, this.#countOf(incarnation));
  }

  get findings(): string[] {
    return [...this.#ended].flatMap(([incarnation, before]) => {
      const more = this.#countOf(incarnation) - before;
      return more > 0 ? [`C5: incarnation ${incarnation} has ended, and committed ${more} times since`] : [];
    });
  }

  /** By incarnation: the last checkpoint whose output counts. */
  #upTo(incarnation: string, partedFrom: ReadonlySet<string>): ReadonlyMap<string, number> {
    const upTo = new Map([[incarnation, Number.POSITIVE_INFINITY]]);
    for (let at = this.#origins.get(incarnation); at != null; at = this.#origins.get(at.incarnation))
      upTo.set(at.incarnation, partedFrom.has(at.incarnation) ? at.checkpointId : Number.POSITIVE_INFINITY);
    return upTo;
  }

  #countOf(incarnation: string): number {
    return [...this.#commits.values()].flat().filter((one) => one.incarnation === incarnation).length;
  }
}
