/** Many subject filters at once, and filters as a consumer has them. Single ones: formats/positions. */
import type { ConsumerConfig } from "@nats-io/jetstream";

interface FilterNode {
  /** The filter that ends here. */
  filter: string | undefined;
  readonly next: Map<string, FilterNode>;
}

/** Filters by their tokens: whether a further one overlaps with one of thousands takes a walk down its own tokens. */
export class FilterSet {
  readonly #root: FilterNode = { filter: undefined, next: new Map() };

  add(filter: string): void {
    let node = this.#root;
    for (const token of filter.split(".")) {
      let next = node.next.get(token);
      if (next === undefined) {
        next = { filter: undefined, next: new Map() };
        node.next.set(token, next);
      }
      node = next;
    }
    node.filter = filter;
  }

  /** A filter of the set that matches some subject which `filter` matches, too; undefined: there is none. */
  overlapping(filter: string): string | undefined {
    return overlapBelow(this.#root, filter.split("."), 0);
  }
}

function overlapBelow(node: FilterNode, tokens: readonly string[], at: number): string | undefined {
  const token = tokens[at];
  if (token === undefined) return node.filter;
  const rest = node.next.get(">");
  if (rest !== undefined) return rest.filter;
  if (token === ">") return firstBelow(node);
  const branches = token === "*" ? node.next.values() : [node.next.get(token), node.next.get("*")];
  for (const branch of branches) {
    const found = branch && overlapBelow(branch, tokens, at + 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function firstBelow(node: FilterNode): string | undefined {
  for (const next of node.next.values()) {
    const found = next.filter ?? firstBelow(next);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The filters as a consumer's configuration has them; servers before 2.10 know one filter only. */
export function filterConfig(filters: readonly string[]): Partial<ConsumerConfig> {
  if (filters.length === 0) return {};
  return filters.length === 1 ? { filter_subject: filters[0]! } : { filter_subjects: [...filters] };
}
