/** Subject filters: what they may look like, and whether two of them can match the same subject. */
import type { ConsumerConfig } from "@nats-io/jetstream";

/** Tokens between dots, "*" for one token, ">" for all further ones at the end. */
export function isSubjectFilter(filter: string): boolean {
  const tokens = filter.split(".");
  return tokens.every((token, i) => {
    if (token === ">") return i === tokens.length - 1;
    if (token === "*") return true;
    return token !== "" && !/[\s*>]/.test(token);
  });
}

/** true: some subject is matched by both. */
export function filtersOverlap(one: string, other: string): boolean {
  const ones = one.split(".");
  const others = other.split(".");
  for (let i = 0; ; i++) {
    const a = ones[i];
    const b = others[i];
    if (a === undefined || b === undefined) return a === b;
    if (a === ">" || b === ">") return true;
    if (a !== b && a !== "*" && b !== "*") return false;
  }
}

/** As a consumer's configuration says it; servers before 2.10 know one filter only. */
export function filterConfig(filters: readonly string[]): Partial<ConsumerConfig> {
  if (filters.length === 0) return {};
  return filters.length === 1 ? { filter_subject: filters[0]! } : { filter_subjects: [...filters] };
}
