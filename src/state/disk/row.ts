/** A row that lies in the cache of a disk backend. */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";

export class Row {
  /** See orderOf in row-order.ts. */
  readonly order: number;
  readonly key: Key;
  /** undefined: it is the shelf's. */
  readonly namespace: Namespace;
  /** ABSENT: the row was removed, and the store has it still. */
  value: unknown;
  /** The next one in its bucket. */
  next: Row | undefined = undefined;
  /** The number of the cut since which it has been changed. */
  changed: number;
  /** The number of the cut since which it is there; -1: it has come out of the store, and that is not known. */
  bornAt: number;
  /** The store has a row of this name. */
  isStored: boolean;
  /** What the store has is older. */
  isDirty: boolean;
  /** It was used since the cache has last passed it. */
  isUsed = false;
  /** The value was looked at closely (PV2 of plain-value.ts) since it was set. */
  isPlain: boolean;

  constructor(
    order: number,
    key: Key,
    namespace: Namespace,
    value: unknown,
    changed: number,
    isStored: boolean,
  ) {
    this.order = order;
    this.key = key;
    this.namespace = namespace;
    this.value = value;
    this.changed = changed;
    this.bornAt = isStored ? -1 : changed;
    this.isStored = isStored;
    this.isDirty = !isStored;
    this.isPlain = isStored;
  }
}
