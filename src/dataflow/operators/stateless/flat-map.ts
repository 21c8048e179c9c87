/** Any number of records for one: an array, or an iterable that is emptied before the next record is taken. */
import { silence } from "../../../state/described.ts";
import { isAnswer, refuseAnswer, wanted } from "../../guards/answers.ts";
import type { Collect } from "../../source.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { type Lifecycle, resourceOf, withResource } from "../lifecycle.ts";

export interface FlatMapOperator {
  readonly flatMap: (value: unknown, resource?: unknown) => Iterable<unknown>;
  readonly lifecycle?: Lifecycle | undefined;
}

export const flatMap: OperatorKind<FlatMapOperator> = {
  name: "flatMap",
  describe: () => ({}),
  open(definition, { id }, { main: downstream }) {
    const resource = resourceOf(id, definition.lifecycle);
    const flatMap = withResource(definition.flatMap, resource);
    return {
      ...resource?.hooks,
      inputs: [
        (value, timestamp) => {
          let results: Iterable<unknown>;
          try {
            results = flatMap(value);
          } catch (error) {
            throw failureOf(id, error);
          }
          if (Array.isArray(results)) {
            for (let i = 0; i < results.length; i++) if (!isAnswer(results[i])) refuseAll(id, results);
            for (let i = 0; i < results.length; i++) downstream(results[i], timestamp);
          } else {
            emitLazily(id, results, timestamp, downstream);
          }
        },
      ],
    };
  },
};

/** A lazy iterable runs user code between the records that it yields. */
function emitLazily(
  id: string,
  results: Iterable<unknown>,
  timestamp: number,
  downstream: Collect<unknown>,
): void {
  if (!isIterable(results)) refuseAnswer(id, "flatMap answered", results, wanted.iterable);
  let emitting = false;
  try {
    for (const result of results) {
      if (!isAnswer(result)) refuseAnswer(id, "flatMap answered with", result);
      emitting = true;
      downstream(result, timestamp);
      emitting = false;
    }
  } catch (error) {
    throw emitting ? error : failureOf(id, error);
  }
}

function isIterable(value: unknown): boolean {
  return (
    value !== undefined &&
    value !== null &&
    typeof (value as { readonly [Symbol.iterator]?: unknown })[Symbol.iterator] === "function"
  );
}

/** Each of them may be a promise that is rejected later. */
function refuseAll(id: string, results: readonly unknown[]): never {
  for (const result of results) silence(result);
  refuseAnswer(
    id,
    "flatMap answered with",
    results.find((result) => !isAnswer(result)),
  );
}
