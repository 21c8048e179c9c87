/** Builds the joins of a drawn job, with the engine's own builder. */
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { beside, groupOf, type Item, intervalOf, joinWindowsOf, paired } from "../drawing.ts";
import type { JoinOperator } from "../oracle/joined.ts";
import { assignerOf } from "./timed-operators.ts";

export function applyJoin(
  operator: JoinOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Stream<Item> {
  const { id, kind, parallelism } = operator;
  const options = { parallelism };
  if (kind === "intervalJoin") {
    const { lowerMs, upperMs, ...exclusive } = intervalOf(operator);
    return left
      .intervalJoin(right)
      .between(lowerMs, upperMs, exclusive)
      .process(
        id,
        (one, other, { key, leftTimestamp, rightTimestamp }) =>
          paired(id, groupOf(key), Math.max(leftTimestamp, rightTimestamp), one, other),
        options,
      );
  }
  const assigner = assignerOf(joinWindowsOf(operator));
  if (kind === "windowJoin")
    return left
      .join(right)
      .window(assigner)
      .process(
        id,
        (one, other, { key, window }) => paired(id, groupOf(key), window.end, one, other),
        options,
      );
  return left
    .coGroup(right)
    .window(assigner)
    .process(
      id,
      (lefts, rights, { key, window }) => beside(id, groupOf(key), window.end, lefts, rights),
      options,
    );
}
