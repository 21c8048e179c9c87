/**
 * The shelves of one table: one for each key group, or, where namespaces lie apart, one for each namespace in it.
 *
 * Owns: which shelf has a row, and making one for the first. Does not own: the rows (shelf.ts).
 */
import type { Namespace } from "../contract.ts";
import { compareNames } from "../name-order.ts";
import { ownString } from "../snapshot/own-key.ts";
import type { Shelf } from "./shelf.ts";

/** The shelves of one namespace, or of all, by key group. */
export interface Rack {
  /** undefined as well: namespaces do not lie apart. */
  readonly namespace: Namespace;
  readonly shelves: (Shelf | undefined)[];
  /** How many rows they have. */
  live: number;
}

export class Shelves {
  readonly lieApart: boolean;
  private readonly groups: number;
  private readonly byNamespace = new Map<Namespace, Rack>();
  /** Stands for each namespace without rows. */
  private readonly empty: Rack;

  /** @param groups of the subtask */
  constructor(groups: number, lieApart: boolean) {
    this.groups = groups;
    this.lieApart = lieApart;
    this.empty = this.rack(undefined);
    if (!lieApart) this.byNamespace.set(undefined, this.empty);
  }

  /** The rack to look rows of the namespace up in. */
  of(namespace: Namespace): Rack {
    return this.lieApart ? (this.byNamespace.get(namespace) ?? this.empty) : this.empty;
  }

  /** The rack for a new row of the namespace. */
  forNew(namespace: Namespace): Rack {
    const known = this.of(namespace);
    if (known !== this.empty || !this.lieApart) return known;
    const kept = typeof namespace === "string" ? ownString(namespace) : namespace;
    const rack = this.rack(kept);
    this.byNamespace.set(kept, rack);
    return rack;
  }

  /** Lets go of a rack that has no rows any more. */
  remove({ namespace }: Rack): void {
    if (this.lieApart) this.byNamespace.delete(namespace);
  }

  /** By their namespaces (KS7 of contract.ts). The caller may change shelves meanwhile. */
  inOrder(): readonly Rack[] {
    return [...this.byNamespace.values()].sort((a, b) => compareNames(a.namespace, b.namespace));
  }

  /** All shelves of a key group, by their namespaces. */
  ofGroup(group: number): Shelf[] {
    return this.inOrder().flatMap(({ shelves }) => shelves[group] ?? []);
  }

  private rack(namespace: Namespace): Rack {
    return { namespace, shelves: new Array(this.groups).fill(undefined), live: 0 };
  }
}
