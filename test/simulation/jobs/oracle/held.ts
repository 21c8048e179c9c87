/**
 * What operators must put out that hold items back: requests to a service, buffers in state without key, and records
 * beside rules that every subtask has.
 */
import {
  answered,
  type DrawnOperator,
  failed,
  groupOf,
  type Item,
  isRefused,
  keyOf,
  ruled,
  summed,
  told,
} from "../drawing.ts";
import type { Expected } from "./oracle.ts";

type Of<K extends DrawnOperator["kind"]> = Extract<DrawnOperator, { readonly kind: K }>;

/** The results by output; "" is the main one. */
export function requested(
  operator: Of<"request">,
  input: Expected,
): readonly (readonly [string, Expected])[] {
  const { id, order, onFailure } = operator;
  const passes = (item: Item): boolean => onFailure === "fail" || !isRefused(operator, item);
  const kept = { ordered: input.order, unordered: "none", perKey: perKeyOrder(input) } as const;
  const common = { ...input, delays: true };
  const main = {
    ...common,
    items: input.items.filter(passes).flatMap((item) => answered(operator, item)),
    order: kept[order],
  };
  if (onFailure === "fail") return [["", main]];
  const side = {
    ...common,
    items: input.items.filter((item) => !passes(item)).map((item) => failed(id, item)),
    makers: new Set([`${id}.failed`]),
    order: "none",
    timed: false,
  } as const;
  return [
    ["", main],
    ["failed", side],
  ];
}

const perKeyOrder = ({ order }: Expected): Expected["order"] => (order === "none" ? "none" : "of-key");

/** All that came in goes out, the last of it at the end. */
export function buffered(input: Expected, endsVaguely: boolean): Expected {
  const vague = input.vague || endsVaguely || !input.ended;
  return { ...input, vague, order: "none", timed: false, delays: true, tellsEnd: true };
}

/** All that came in goes out, a while later. What has no event time when it goes out has none. */
export function paused({ parallelism }: Of<"pause">, input: Expected): Expected {
  return { ...input, parallelism, order: perKeyOrder(input), timed: false, delays: true };
}

/** Items of the first port, or of both, come out in time or as late; when that is does not follow from the input. */
export function passed(
  { kind, parallelism }: Of<"lookup" | "gather">,
  [left, right]: readonly [Expected, Expected],
  both: Expected,
  endsVaguely: boolean,
): Expected {
  const through = kind === "gather" ? both : left;
  const ended = left.ended && right.ended;
  const vague = through.vague || endsVaguely || !ended;
  return {
    ...through,
    parallelism,
    ended,
    vague,
    order: "none",
    timed: false,
    delays: true,
    tellsEnd: true,
  };
}

/** Each subtask tells of each rule; each record is counted, and what was counted is told at the end. */
export function governed(
  { id, keys, parallelism, waitFor }: Of<"rules">,
  [records, rules]: readonly [Expected, Expected],
  endsVaguely: boolean,
): Expected {
  const items: Item[] = [];
  const both = [records, rules];
  const counts = new Map<number, number>();
  for (const item of records.items) {
    const key = groupOf(keyOf[keys](item));
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    items.push(told(id, key, count));
  }
  const ended = both.every((one) => one.ended);
  if (ended) for (const [key, count] of counts) items.push(summed(id, key, count, rules.items.length));
  const ruleCounts = new Map<number, number>();
  for (const { key } of rules.items) {
    const count = (ruleCounts.get(key) ?? 0) + 1;
    ruleCounts.set(key, count);
    for (let subtask = 0; subtask < parallelism; subtask++) items.push(ruled(id, key, count));
  }
  const repeats = both.some((one) => one.repeats);
  const lacks = both.some((one) => one.lacks);
  const beyond = both.some((one) => one.beyond);
  const makers = new Set([id, `${id}.end`, `${id}.rule`]);
  // Rules that will never come are waited for until they end.
  if (waitFor !== undefined && (rules.items.length === 0 || endsVaguely)) makers.add(`${id}.stray`);
  return {
    items,
    makers,
    parallelism,
    order: "none",
    lacks,
    repeats,
    beyond: beyond || repeats,
    vague: both.some((one) => one.vague) || repeats || lacks || beyond || endsVaguely,
    ended,
    timed: false,
    delays: both.some((one) => one.delays),
    tellsEnd: true,
  };
}
