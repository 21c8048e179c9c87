/**
 * What operators must put out whose single results follow from when things happen: all of them together are of each
 * item once, and what stands behind such an operator tells for each key how many there were.
 */
import {
  AUDITED_KINDS,
  type AuditedKind,
  type DrawnOperator,
  groupOf,
  keyOf,
  type SummingKind,
  told,
} from "../drawing.ts";
import { countedBy } from "../further-functions.ts";
import type { Expected } from "./oracle.ts";

export type SummingOperator = Extract<DrawnOperator, { readonly kind: SummingKind }>;
export type AuditedOperator = Extract<DrawnOperator, { readonly kind: AuditedKind }>;

/** @param input of all ports */
export function summedUp(
  operator: SummingOperator | AuditedOperator,
  input: Expected,
  endsVaguely: boolean,
): Expected {
  const { id, kind, keys, parallelism } = operator;
  const counts = new Map<number, number>();
  for (const item of input.items) {
    const group = groupOf(keyOf[keys](item));
    counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  const items = [...counts].flatMap(([group, count]) =>
    Array.from({ length: kind === "countWindow" ? countedBy(operator, count) : count }, (_, i) =>
      told(id, group, i + 1),
    ),
  );
  // Where records come twice, so may pairs.
  const mayStray = input.repeats && isAudited(kind);
  return {
    items,
    makers: new Set(mayStray ? [id, `${id}.stray`] : [id]),
    parallelism,
    order: "of-key",
    lacks: input.lacks,
    repeats: input.repeats,
    beyond: input.beyond || input.repeats,
    vague: input.vague || endsVaguely || !input.ended,
    ended: input.ended,
    timed: false,
    delays: true,
    tellsEnd: true,
  };
}

const isAudited = (kind: string): boolean => (AUDITED_KINDS as readonly string[]).includes(kind);
