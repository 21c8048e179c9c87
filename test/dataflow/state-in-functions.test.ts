/** What users' functions may do with keyed state, and how an operator says what they may not. */
import { expect, test } from "vitest";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { OperatorError } from "../../src/errors.ts";
import { listState, mapState, type ValueState, valueState } from "../../src/state/descriptor.ts";
import { chainOf, failureOf } from "../support/graphs/chains.ts";
import { process } from "../support/graphs/operators.ts";

const keyOf = () => "k";
const given = (operator: ReturnType<typeof process>) => chainOf([operator]).chain.heads[0]!(1, NO_TIMESTAMP);

test("a state that a function has kept for later has no key then", () => {
  let kept: ValueState<number> | undefined;
  given(
    process("count", keyOf, {
      state: { count: valueState(0) },
      onRecord(_, { state }) {
        kept = state.count;
        state.count.set(1);
      },
    }),
  );
  for (const use of [() => kept!.get(), () => kept!.set(2)]) {
    const error = failureOf(use);
    expect(error).toBeInstanceOf(OperatorError);
    expect(String(error)).toContain('operator "count" failed: state "count" was used without a key');
  }
});

test.each(["production", "development"])("what is no value names operator and state (%s)", (mode) => {
  const forgetful = process("visits", keyOf, {
    state: { seen: mapState<string, number>() },
    onRecord: (_, { state }) => state.seen.set("a", undefined as never),
  });
  const { chain } = chainOf([forgetful], { checks: mode === "development" });
  expect(() => chain.heads[0]!(1, NO_TIMESTAMP)).toThrow(
    /operator "visits" failed: state "seen" was given undefined, which is no value/,
  );
});

test("an element of a list that is changed in place is refused with checks, and names the state", () => {
  const { chain } = chainOf(
    [
      process("visits", keyOf, {
        state: { items: listState<{ n: number }>() },
        onRecord(_, { state }) {
          state.items.add({ n: 1 });
          state.items.get()[0]!.n++;
        },
      }),
    ],
    { checks: true },
  );
  expect(() => chain.heads[0]!(1, NO_TIMESTAMP)).toThrow(/never changed in place \(here: state "items"\)/);
});
