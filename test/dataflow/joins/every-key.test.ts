/** `forEachKey` of a broadcast record: what it gives, what may be done meanwhile, and what is refused. */
import { describe, expect, test } from "vitest";
import type { Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { OperatorError } from "../../../src/errors.ts";
import {
  type BroadcastRecordContext,
  broadcastState,
  defineJob,
  type Expired,
  listState,
  mapState,
  type TtlOptions,
  valueState,
} from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf, failureOf } from "../../support/graphs/chains.ts";
import { map } from "../../support/graphs/operators.ts";

type Payment = readonly [account: string, amount: number];

const statesOf = (ttl?: TtlOptions) => ({
  last: valueState(0, ttl && { ttl }),
  all: listState<number>(ttl && { ttl }),
  byAmount: mapState<number, boolean>(ttl && { ttl }),
  seen: valueState(0),
});
type Context = BroadcastRecordContext<string, ReturnType<typeof statesOf>, Rules, string, NoSides, undefined>;
type NoSides = Readonly<Record<never, never>>;
type Rules = { readonly rules: ReturnType<typeof broadcastState<string, boolean>> };

const telling = (
  { state, value }: Expired<ReturnType<typeof statesOf>>,
  { key, timestamp, emit }: Pick<Context, "timestamp"> & { key: string; emit: (text: string) => void },
) => emit(`${state} of ${key}: ${String(value)} expired within ${timestamp}`);

/** Keeps the payments of each account; the function is what becomes of a rule. */
function jobOf(onBroadcast: (rule: string, context: Context) => unknown, ttl?: TtlOptions) {
  return defineJob("job", {}, (builder) => {
    const rules = builder.source("rules", testSource<string>(), { parallelism: 1 });
    const state = statesOf(ttl);
    builder
      .source("payments", testSource<Payment>())
      .keyBy(([account]) => account)
      .connect(rules.broadcast())
      .process("checked", {
        state,
        broadcast: { rules: broadcastState<string, boolean>() },
        onRecord([, amount], context) {
          context.state.last.set(amount);
          context.state.all.add(amount);
          context.state.byAmount.set(amount, true);
          context.state.seen.set(context.state.seen.get() + 1);
        },
        onBroadcast: (rule, context) => void onBroadcast(rule, context),
        ...(ttl && { onExpire: telling }),
      })
      .sink("out", testSink());
  });
}

const operatorOf = (...given: Parameters<typeof jobOf>): OperatorDefinition =>
  jobOf(...given).operators.find(({ definition }) => definition.id === "checked")!.definition;

/** A rule comes, and what it leaves to do is done. */
function comes(chain: Chain, rule: string): void {
  chain.heads[1]!(rule, 7);
  const left = chain.work!.take();
  while (left?.step());
}

function opened(...given: Parameters<typeof jobOf>) {
  const clock = { nowMs: 1000 };
  const processingTime = { nowMs: () => clock.nowMs, wakeAt: () => {} };
  const { chain, out } = chainOf([operatorOf(...given)], { processingTime });
  return {
    clock,
    pay: (account: string, amount: number) => chain.heads[0]!([account, amount], 5),
    rule: (rule: string) => comes(chain, rule),
    taken: () => out.out!.splice(0),
  };
}

describe("each key", () => {
  test("that holds a value in the state is given once, also by a restored job", async () => {
    const told: string[] = [];
    const job = jobOf((_, { forEachKey }) => {
      forEachKey("last", (account, last) => void told.push(`${account} ${last.get()}`));
      forEachKey("all", (account, all) => void told.push(`${account} ${all.get().join("+")}`));
      forEachKey("byAmount", (account, map) => void told.push(`${account} ${map.size}`));
    });
    const first = await createTestHarness(job);
    for (const payment of [
      ["a", 1],
      ["b", 2],
      ["a", 3],
    ])
      await first.push("payments", payment);
    const harness = await createTestHarness(job, { restore: await first.snapshot() });
    await harness.push("payments", ["c", 4]);
    await harness.push("rules", "tell");
    expect(told.splice(0).sort()).toEqual(["a 1+3", "a 2", "a 3", "b 1", "b 2", "b 2", "c 1", "c 4", "c 4"]);
  });

  test("can be changed and cleared meanwhile, and what is emitted has the time of the rule", () => {
    const { pay, rule, taken } = opened((given, { forEachKey, emit }) => {
      forEachKey("last", (account, last) => {
        if (given === "tell") emit(`${account} ${last.get()}`);
        else if (last.get() % 2 === 0) last.clear();
        else last.set(last.get() * 10);
      });
    });
    for (let i = 0; i < 1000; i++) pay(`account ${i}`, i);
    rule("change");
    rule("tell");
    const expected = Array.from({ length: 500 }, (_, i) => [`account ${2 * i + 1} ${(2 * i + 1) * 10}`, 7]);
    expect(taken().sort()).toEqual(expected.sort());
  });

  test("that holds nothing but what has expired is not given: onExpire is told", () => {
    const ttl: TtlOptions = { after: 10, time: "processing", updateOn: "readAndWrite" };
    const names = ["last", "all", "byAmount"] as const;
    const { clock, pay, rule, taken } = opened((_, { forEachKey, emit }) => {
      for (const name of names) forEachKey(name, (account) => emit(`${name} of ${account}`));
    }, ttl);
    pay("a", 1);
    clock.nowMs += 6;
    pay("b", 2);
    pay("b", 3);
    clock.nowMs += 5;
    rule("tell");
    expect(taken().sort()).toEqual([
      ["all of a: 1 expired within 7", 7],
      ["all of b", 7],
      ["byAmount of a: true expired within 7", 7],
      ["byAmount of b", 7],
      ["last of a: 1 expired within 7", 7],
      ["last of b", 7],
    ]);
    // To be given renews nothing: only what the function reads.
    clock.nowMs += 6;
    rule("tell");
    expect(
      taken()
        .map(([text]) => text)
        .sort(),
    ).toEqual([
      "all of b: 2 expired within 7",
      "all of b: 3 expired within 7",
      "byAmount of b: true expired within 7",
      "byAmount of b: true expired within 7",
      "last of b: 3 expired within 7",
    ]);
  });

  test("is no longer current afterwards", () => {
    let kept: { get(): number } | undefined;
    const { pay, rule, taken } = opened((given, { forEachKey, emit }) => {
      if (given === "look") emit(String(kept!.get()));
      forEachKey("last", (account, last) => {
        kept = last;
        emit(account);
      });
    });
    pay("a", 1);
    rule("keep");
    const failure = failureOf(() => rule("look"));
    expect(failure).toBeInstanceOf(OperatorError);
    expect(String(failure)).toMatch(/operator "checked" failed: .*"last".*key/);
    expect(taken()).toEqual([["a", 7]]);
  });

  test("comes behind onBroadcast, which cannot be left half done, and before the next rule", () => {
    const { pay, rule, taken } = opened((given, { forEachKey, emit, broadcast }) => {
      forEachKey("last", (account) => emit(`${given} for ${account}, one of ${broadcast.rules.size}`));
      broadcast.rules.set(given, true);
      emit(`${given} is known`);
    });
    pay("a", 1);
    rule("r1");
    rule("r2");
    expect(taken().map(([text]) => text)).toEqual([
      "r1 is known",
      "r1 for a, one of 1",
      "r2 is known",
      "r2 for a, one of 2",
    ]);
  });
});

describe("refused, by the names of operator and state", () => {
  const messageOf = (onBroadcast: (rule: string, context: Context) => unknown): string => {
    const { pay, rule } = opened(onBroadcast);
    pay("a", 1);
    const failure = failureOf(() => rule("r"));
    expect(failure).toBeInstanceOf(OperatorError);
    return (failure as OperatorError).message;
  };

  test.each([
    ["rules", 'forEachKey was given "rules", which is no keyed state of the operator; declared: last, all,'],
    ["toString", 'forEachKey was given "toString", which is no keyed state'],
    [5, "forEachKey was given a number, which is no keyed state"],
  ])("a name that is none: %s", (name, message) => {
    expect(messageOf((_, { forEachKey }) => forEachKey(name as never, () => {}))).toContain(
      `operator "checked" failed: ${message}`,
    );
  });

  test("what is no function, and one that waits", () => {
    expect(messageOf((_, { forEachKey }) => forEachKey("last", undefined as never))).toContain(
      'forEachKey("last") needs a function (key, state) => …, got undefined',
    );
    expect(messageOf((_, { forEachKey }) => forEachKey("last", async () => {}))).toContain(
      'the function of forEachKey("last") answered a promise',
    );
  });

  test("one within the other", () => {
    expect(messageOf((_, { forEachKey }) => forEachKey("last", () => forEachKey("all", () => {})))).toContain(
      'forEachKey("all") was called within forEachKey("last")',
    );
  });

  test("a function that throws", () => {
    const message = messageOf((_, { forEachKey }) =>
      forEachKey("last", () => {
        throw new TypeError("boom");
      }),
    );
    expect(message).toBe('operator "checked" failed: boom (at broadcast record "r") (key group 26)');
  });

  test("what fails downstream has its own name there, also where the function goes on", () => {
    const { chain } = chainOf([
      operatorOf((_, { forEachKey, emit }) =>
        forEachKey("last", (account) => {
          try {
            emit(account);
          } catch {}
        }),
      ),
      map("next", () => {
        throw new TypeError("boom");
      }),
    ]);
    chain.heads[0]!(["a", 1], 5);
    expect(String(failureOf(() => comes(chain, "r")))).toContain("caught an error of emit");
    const { chain: plain } = chainOf([
      operatorOf((_, { forEachKey, emit }) => forEachKey("last", (account) => emit(account))),
      map("next", () => {
        throw new TypeError("boom");
      }),
    ]);
    plain.heads[0]!(["a", 1], 5);
    expect(String(failureOf(() => comes(plain, "r")))).toContain('operator "next" failed: boom');
  });

  test("a change of broadcast state, which all subtasks have to make alike", () => {
    expect(
      messageOf((_, { forEachKey, broadcast }) =>
        forEachKey("last", (account) => broadcast.rules.set(account, true)),
      ),
    ).toMatch(/operator "checked" failed: .*rules.*onBroadcast/);
  });

  test("a call behind the record", () => {
    let kept: Context["forEachKey"] | undefined;
    const { rule } = opened((_, { forEachKey }) => {
      kept = forEachKey;
    });
    rule("keep");
    expect(String(failureOf(() => kept!("last", () => {})))).toContain(
      "forEachKey was called after the record was processed",
    );
  });
});
