/**
 * Builds joins of a drawn job that an operator behind them looks at, with the engine's own builder: which records are
 * late follows from the order in which two streams come, and which pairs there are follows from what was late.
 */
import { listState, type } from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { type DrawnJob, groupOf, type Item, intervalOf, keyOf, told } from "../drawing.ts";
import { stray } from "../further-functions.ts";
import type { AuditedOperator } from "../oracle/conserved.ts";
import { boundsAt, timesIn } from "../oracle/windows.ts";
import { assignerOf } from "./assigners.ts";

const SIDES = ["left", "right"] as const;
type Side = (typeof SIDES)[number];

/** What the auditor sees: each item of a side, those that were late, and each pair. */
type Evidence =
  | { readonly kind: "came" | "late"; readonly side: Side; readonly item: Item }
  | { readonly kind: "pair"; readonly left: Item; readonly right: Item; readonly end: number };

/** Tells for each key, at the end, how many items there were, if each pair came once that must, and no other one. */
export function applyAudited(
  operator: AuditedOperator,
  job: DrawnJob,
  [left, right]: readonly [Stream<Item>, Stream<Item>],
): Stream<Item> {
  const { id, keys, parallelism } = operator;
  const options = { parallelism };
  const came = [left, right].map((stream, at) =>
    stream.map(`${id}-${SIDES[at]}`, (item): Evidence => ({ kind: "came", side: SIDES[at]!, item }), options),
  );
  const [first, second] = [left.keyBy(keyOf[keys]), right.keyBy(keyOf[keys])];
  const found =
    operator.kind === "auditedInterval"
      ? withinInterval(operator, first, second)
      : inWindows(operator, first, second);
  const [evidence, ...others] = [...found, ...came];
  const timeOf = timesIn(job);
  const areMet = meetingsOf(operator, (item) => timeOf(item)!);
  return others
    .reduce((all, one) => all.union(one), evidence!)
    .keyBy((one) => keyOf[keys](one.kind === "pair" ? one.left : one.item))
    .process(
      `${id}-audit`,
      {
        state: { seen: listState<Evidence>() },
        output: type<Item>(),
        onRecord(one, { state }) {
          state.seen.add(one);
        },
        onEnd({ key, state, emit }) {
          const seen = [...state.seen];
          const group = groupOf(key);
          if (!isConsistent(seen, areMet)) emit(stray(id, group));
          const items = seen.filter(({ kind }) => kind === "came").length;
          for (let at = 1; at <= items; at++) emit(told(id, group, at));
        },
      },
      options,
    );
}

function withinInterval(
  { id, parallelism, ...operator }: AuditedOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Stream<Evidence>[] {
  const { lowerMs, upperMs, ...exclusive } = intervalOf(operator);
  const options = { ...exclusive, lateLeftOutput: "left", lateRightOutput: "right" } as const;
  const pairs = left
    .intervalJoin(right)
    .between(lowerMs, upperMs, options)
    .process(id, (one, other): Evidence => ({ kind: "pair", left: one, right: other, end: 0 }), {
      parallelism,
    });
  const late = SIDES.map((side) =>
    pairs
      .sideOutput(side)
      .map(`${id}-late-${side}`, ({ value: item }): Evidence => ({ kind: "late", side, item }), {
        parallelism,
      }),
  );
  return [pairs, ...late];
}

function inWindows(
  operator: AuditedOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Stream<Evidence>[] {
  const { id, parallelism } = operator;
  const options = { parallelism };
  const pairs = left
    .join(right)
    .window(assignerOf(tumblingOf(operator)), { lateOutput: "late" })
    .process(
      id,
      (one, other, { window }): Evidence => ({ kind: "pair", left: one, right: other, end: window.end }),
      options,
    );
  const late = pairs
    .sideOutput("late")
    .map(`${id}-late`, ({ value: item, side }): Evidence => ({ kind: "late", side, item }), options);
  return [pairs, late];
}

const tumblingOf = ({ a, b }: AuditedOperator) => ({ kind: "tumbling", a, b }) as const;

/** Answers by which window two items meet, 0 where there are none; undefined: they do not. */
type Meetings = (left: Item, right: Item) => number | undefined;

function meetingsOf(operator: AuditedOperator, timeOf: (item: Item) => number): Meetings {
  if (operator.kind === "auditedWindow")
    return (left, right) => {
      const [one, other] = [left, right].map((item) => boundsAt(tumblingOf(operator), timeOf(item))[0]![1]);
      return one === other ? one : undefined;
    };
  const { lowerMs, upperMs, lowerExclusive, upperExclusive } = intervalOf(operator);
  return (left, right) => {
    const apart = timeOf(right) - timeOf(left);
    const isAbove = lowerExclusive ? apart > lowerMs : apart >= lowerMs;
    return isAbove && (upperExclusive ? apart < upperMs : apart <= upperMs) ? 0 : undefined;
  };
}

const textOf = ({ by, key, at, n }: Item): string => `${by} ${key} ${at} ${n}`;

/** Whether the pairs are those of all items that were not late. */
function isConsistent(seen: readonly Evidence[], meet: Meetings): boolean {
  const pairs: string[] = [];
  const inTime: Record<Side, Item[]> = { left: [], right: [] };
  const late: Record<Side, string[]> = { left: [], right: [] };
  for (const one of seen) {
    if (one.kind === "pair") pairs.push(`${textOf(one.left)}, ${textOf(one.right)}, ${one.end}`);
    else if (one.kind === "late") late[one.side].push(textOf(one.item));
    else inTime[one.side].push(one.item);
  }
  for (const side of SIDES)
    for (const text of late[side]) {
      const at = inTime[side].findIndex((item) => textOf(item) === text);
      if (at < 0) return false;
      inTime[side].splice(at, 1);
    }
  const must = inTime.left.flatMap((left) =>
    inTime.right.flatMap((right) => {
      const end = meet(left, right);
      return end === undefined ? [] : [`${textOf(left)}, ${textOf(right)}, ${end}`];
    }),
  );
  return pairs.sort().join(";") === must.sort().join(";");
}
