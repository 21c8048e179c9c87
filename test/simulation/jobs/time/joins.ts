/** Builds the joins of a drawn job, with the engine's own builder. */
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { beside, groupOf, type Item, intervalOf, joinWindowsOf, keyOf, late, paired } from "../drawing.ts";
import { looked, stray } from "../further-functions.ts";
import type { JoinOperator, PassingOperator } from "../oracle/joined.ts";
import { assignerOf } from "./assigners.ts";

type Outputs = readonly (readonly [string, Stream<Item>])[];

/** Late records by the side that they came from. */
type Sided = Stream<unknown, { readonly lateLeft: Refused; readonly lateRight: Refused }>;
interface Refused {
  readonly value: Item;
}

export function applyJoin(
  operator: JoinOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Outputs {
  switch (operator.kind) {
    case "intervalJoin":
      return withinInterval(operator, left, right);
    case "versionedJoin":
      return atVersions(operator, left, right);
    default:
      return inWindows(operator, left, right);
  }
}

function withinInterval(
  { id, parallelism, tellsLate, ...operator }: JoinOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Outputs {
  const { lowerMs, upperMs, ...exclusive } = intervalOf(operator);
  const options = tellsLate
    ? ({ ...exclusive, lateLeftOutput: "lateLeft", lateRightOutput: "lateRight" } as const)
    : exclusive;
  const pairs = left
    .intervalJoin(right)
    .between(lowerMs, upperMs, options)
    .process(
      id,
      (one, other, { key, leftTimestamp, rightTimestamp }) =>
        paired(id, groupOf(key), Math.max(leftTimestamp, rightTimestamp), one, other),
      { parallelism },
    );
  return tellsLate ? [["", pairs], lateOf({ id, parallelism }, pairs as Sided)] : [["", pairs]];
}

/** Tells the time of the version, because of several of one time the last that came is met. */
function atVersions(
  { id, parallelism, keys, tellsLate }: JoinOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Outputs {
  const options = tellsLate ? ({ lateProbeOutput: "lateLeft", lateBuildOutput: "lateRight" } as const) : {};
  const told = left.versionedJoin(right, options).process(
    id,
    (item, version, { key, leftTimestamp, rightTimestamp }) => {
      if (version === undefined) return looked(id, groupOf(key), leftTimestamp, item, undefined);
      return keyOf[keys](version) === key
        ? looked(id, groupOf(key), leftTimestamp, item, rightTimestamp)
        : stray(id, groupOf(key));
    },
    { parallelism },
  );
  return tellsLate ? [["", told], lateOf({ id, parallelism }, told as Sided)] : [["", told]];
}

function lateOf(
  { id, parallelism }: Pick<JoinOperator, "id" | "parallelism">,
  results: Sided,
): readonly [string, Stream<Item>] {
  const both = results.sideOutput("lateLeft").union(results.sideOutput("lateRight"));
  return ["late", both.map(`${id}-late`, ({ value }) => late(id, value), { parallelism })];
}

function inWindows(
  operator: JoinOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Outputs {
  const { id, kind, parallelism, tellsLate } = operator;
  const options = { parallelism };
  const assigner = assignerOf(joinWindowsOf(operator));
  const results =
    kind === "windowJoin"
      ? left
          .join(right)
          .window(assigner, { lateOutput: "late" })
          .process(
            id,
            (one, other, { key, window }) => paired(id, groupOf(key), window.end, one, other),
            options,
          )
      : left
          .coGroup(right)
          .window(assigner, { lateOutput: "late" })
          .process(
            id,
            (lefts, rights, { key, window }) => beside(id, groupOf(key), window.end, lefts, rights),
            options,
          );
  if (!tellsLate) return [["", results]];
  const refused = results.sideOutput("late").map(`${id}-late`, ({ value }) => late(id, value), options);
  return [
    ["", results],
    ["late", refused],
  ];
}

/** Items go on unchanged, in whatever order and at whatever time: those of the left stream, or those of both. */
export function applyPassing(
  operator: PassingOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Stream<Item> {
  const { id, kind, parallelism } = operator;
  const options = { parallelism };
  if (kind === "lookup") {
    const met = left.versionedJoin(right, { lateProbeOutput: "late" }).process(id, (item) => item, options);
    return met.union(met.sideOutput("late").map(`${id}-late`, ({ value }) => value, options));
  }
  const grouped = left
    .coGroup(right)
    .window(assignerOf({ ...operator, kind: "tumbling" }), { lateOutput: "late" })
    .process<Item>(
      id,
      (lefts, rights, { emit }) => {
        for (const item of lefts) emit(item);
        for (const item of rights) emit(item);
      },
      options,
    );
  return grouped.union(grouped.sideOutput("late").map(`${id}-late`, ({ value }) => value, options));
}
