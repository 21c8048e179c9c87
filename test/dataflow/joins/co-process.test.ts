/** Two keyed streams in one operator: each with its function and key selector, one state, one set of timers. */
import { expect, test } from "vitest";
import { defineOperator } from "../../../src/dataflow/operators/contract.ts";
import type { ProcessContext } from "../../../src/dataflow/operators/keyed/process.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { OperatorError } from "../../../src/errors.ts";
import { type ValueState, valueState } from "../../../src/state/descriptor.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { run, type Step } from "./cuts.ts";

const seen = ({ state }: ProcessContext) => state.seen as ValueState<string>;

const matching = defineOperator(kinds.coProcess, "match", {
  first: {
    key: (value) => (value as { readonly id: string }).id,
    onRecord(value, context) {
      seen(context).set(`${seen(context).get()}f`);
      context.timers.registerEventTimer(context.timestamp + 10);
      context.emit(`first ${context.key} ${JSON.stringify(value)} ${seen(context).get()}`);
    },
  },
  second: {
    key: (value) => (value as readonly [string, unknown])[0],
    onRecord(value, context) {
      if ((value as readonly [string, unknown])[1] === "boom") throw new TypeError("boom");
      seen(context).set(`${seen(context).get()}s`);
      context.emit(`second ${context.key} ${JSON.stringify(value)} ${seen(context).get()}`);
    },
  },
  process: {
    state: { seen: valueState("") },
    onTimer: ({ time }, context) => context.emit(`timer ${context.key} ${time} ${seen(context).get()}`),
  },
});

const first = (id: string, time: number): Step => ({ port: 0, value: { id }, time });
const second = (id: string, time: number, what: unknown = 1): Step => ({ port: 1, value: [id, what], time });

test("records of both share the state and the timers of their key, also behind a restore at any point", () => {
  const steps = [
    second("a", 1),
    first("a", 5),
    second("b", 6),
    first("b", 7),
    { watermark: 16 },
    second("a", 20),
  ];
  const expected = [
    ['second a ["a",1] s', 1],
    ['first a {"id":"a"} sf', 5],
    ['second b ["b",1] s', 6],
    ['first b {"id":"b"} sf', 7],
    ["timer a 15 sf", 15],
    ['second a ["a",1] sfs', 20],
    ["timer b 17 sf", 17],
  ];
  const all = [...steps, { watermark: 17 }];
  expect(run(matching, all).out.out).toEqual(expected);
  for (let cut = 0; cut <= all.length; cut++) expect(run(matching, all, [cut]).out.out).toEqual(expected);
});

test("a failure names the operator, and the next record meets its own function again", () => {
  const { chain, out } = run(matching, [first("a", 1)]);
  const failure = failureOf(() => chain.heads[1]!(["a", "boom"], 2));
  expect(failure).toBeInstanceOf(OperatorError);
  expect((failure as OperatorError).message).toContain('operator "match" failed: boom');
  chain.heads[0]!({ id: "b" }, 3);
  expect(out.out!.at(-1)).toEqual(['first b {"id":"b"} f', 3]);
});
