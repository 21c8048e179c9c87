/** An operator that asks the outside world, in one subtask: order, capacity, failures, time, and what a cut holds. */
import { describe, expect, test } from "vitest";
import type { Chain } from "../../../src/dataflow/chain.ts";
import type { RequestContext } from "../../../src/dataflow/operators/async/call.ts";
import type { HeldRecords } from "../../../src/dataflow/operators/contract.ts";
import { defineJob } from "../../../src/index.ts";
import type { AsyncDefinition } from "../../../src/job/async/definition.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf, failureOf } from "../../support/graphs/chains.ts";
import { ManualClock, settled } from "../../support/manual-clock.ts";

interface Order {
  readonly user: string;
  readonly n: number;
}

interface Asked {
  readonly value: Order;
  readonly context: RequestContext<string | undefined, unknown>;
  answer(answer: unknown): Promise<void>;
  fail(error: unknown): Promise<void>;
}

type Options = Partial<AsyncDefinition<Order, never, unknown, unknown>> & { readonly keyed?: boolean };

interface Service {
  readonly chain: Chain;
  readonly held: HeldRecords;
  /** What has gone out: values by edge, marks in brackets. */
  readonly out: unknown[];
  readonly asked: Asked[];
  readonly clock: ManualClock;
  readonly troubles: Troubles;
  give(n: number, user?: string): void;
  /** Sends out what is ready. */
  sendOut(): unknown[];
}

/** The operator of a job, and a service whose answers the test gives. */
async function service({ keyed = false, ...definition }: Options = {}, restored?: Cut): Promise<Service> {
  const asked: Asked[] = [];
  const request = (value: Order, context: RequestContext<string | undefined, unknown>) =>
    new Promise<unknown>((answer, fail) => {
      const andSettle = (settle: (with_: unknown) => void) => (given: unknown) => {
        settle(given);
        return settled();
      };
      asked.push({ value, context, answer: andSettle(answer), fail: andSettle(fail) });
    });
  const job = defineJob("job", {}, (job) => {
    const orders = job.source("in", testSource<Order>());
    const all = { request, ...definition } as AsyncDefinition<Order, string | undefined, unknown, unknown>;
    const results = keyed ? orders.keyBy(({ user }) => user).async("ask", all) : orders.async("ask", all);
    if (definition.onFailure === "sideOutput") results.sideOutput("failed").sink("failures", testSink());
    results.sink("out", testSink());
  });
  const operator = job.operators.find(({ definition: { id } }) => id === "ask")!.definition;
  const out: unknown[] = [];
  const outputs = [
    { tag: null, next: [], edges: ["main"] },
    ...(operator.details.tags ?? []).map((tag) => ({ tag, next: [], edges: [tag] })),
  ];
  const { chain } = chainOf([{ operator, outputs }], {
    output: (edge) => (value, timestamp) =>
      out.push(edge === "main" ? [value, timestamp] : [edge, value, timestamp]),
    mark: (edge, watermark, isIdle) => {
      if (edge === "main") out.push(`${watermark}${isIdle ? " idle" : ""}`);
    },
  });
  for (const { state, bytes } of restored ?? []) {
    const restorer = chain.restorer({ operator: "ask", state }, { object: "o", bytes });
    while (restorer.next());
  }
  const clock = new ManualClock();
  const troubles = new Troubles(clock);
  await chain.open({ clock, signal: new AbortController().signal, troubles });
  const held = chain.held!;
  const sendOut = () => {
    out.length = 0;
    while (held.step());
    return [...out];
  };
  const give = (n: number, user = "ann") => chain.heads[0]!({ user, n }, n * 10);
  return { chain, held, out, asked, clock, troubles, give, sendOut };
}

type Cut = readonly { readonly state: string; readonly bytes: Uint8Array }[];

function cut({ chain }: Service): Cut {
  return chain.snapshot().flatMap(({ state, cursor }) => {
    const chunks: { state: string; bytes: Uint8Array }[] = [];
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next())
      chunks.push({ state, bytes: chunk.bytes });
    return chunks;
  });
}

const messageOf = (run: () => void): string => (failureOf(run) as Error).message;
const numbersOf = ({ asked }: Service) => asked.map(({ value }) => value.n);

describe("order", () => {
  test("ordered: results wait for those in front of them, and marks for all in front of them", async () => {
    const all = await service();
    all.held.mark(5, false);
    all.give(1);
    all.give(2);
    all.held.mark(9, true);
    expect(numbersOf(all)).toEqual([1, 2]);
    expect(all.sendOut()).toEqual(["5"]);
    await all.asked[1]!.answer("two");
    expect(all.sendOut()).toEqual([]);
    await all.asked[0]!.answer(["one", "uno"]);
    expect(all.sendOut()).toEqual([["one", 10], ["uno", 10], ["two", 20], "9 idle"]);
    expect(all.held.isEmpty).toBe(true);
  });

  test("unordered: results go as they come, but not over a mark", async () => {
    const all = await service({ mode: "unordered" });
    for (const n of [1, 2]) all.give(n);
    all.held.mark(9, false);
    all.give(3);
    await all.asked[2]!.answer("three");
    await all.asked[1]!.answer("two");
    expect(all.sendOut()).toEqual([["two", 20]]);
    await all.asked[0]!.answer([]);
    expect(all.sendOut()).toEqual(["9", ["three", 30]]);
  });

  test("behind keyBy a key's requests follow each other, and other keys do not wait", async () => {
    const all = await service({ keyed: true });
    all.give(1, "ann");
    all.give(2, "ann");
    all.give(3, "bob");
    expect(all.asked.map(({ value, context }) => [value.n, context.key])).toEqual([
      [1, "ann"],
      [3, "bob"],
    ]);
    await all.asked[1]!.answer("three");
    expect(all.sendOut()).toEqual([["three", 30]]);
    await all.asked[0]!.answer("one");
    expect(all.sendOut()).toEqual([["one", 10]]);
    expect(numbersOf(all)).toEqual([1, 3, 2]);
  });
});

test("no more requests than the capacity are under way; what is beyond begins when there is a place", async () => {
  const all = await service({ capacity: 2, mode: "unordered" });
  all.give(1);
  expect(all.held.hasRoom()).toBe(true);
  for (const n of [2, 3, 4]) all.give(n);
  expect(all.held.hasRoom()).toBe(false);
  expect(numbersOf(all)).toEqual([1, 2]);
  await all.asked[1]!.answer("two");
  expect(all.sendOut()).toEqual([["two", 20]]);
  expect(numbersOf(all)).toEqual([1, 2, 3]);
  for (const at of [0, 2]) await all.asked[at]!.answer([]);
  all.sendOut();
  expect(all.held.hasRoom()).toBe(true);
});

describe("failures", () => {
  test("fail the job at once, by name, without the record", async () => {
    const all = await service();
    for (const n of [1, 2]) all.give(n, "secret");
    await all.asked[1]!.fail(new Error("HTTP 503"));
    expect(messageOf(() => all.held.step())).toBe(
      'operator "ask" failed: the request for an object failed in attempt 1 of 1: HTTP 503',
    );
  });

  test("of a function that throws at once are like others", async () => {
    const all = await service({
      request: () => {
        throw new Error("no client");
      },
    });
    all.give(1);
    await settled();
    expect(messageOf(() => all.held.step())).toContain("no client");
  });

  test("are tried again, with longer and longer pauses, under one id", async () => {
    const all = await service({ retries: { attempts: 4, delay: 100, backoff: 3, maxDelay: 500 } });
    all.give(1);
    for (const pauseMs of [100, 300, 500]) {
      await all.asked.at(-1)!.fail(new Error("HTTP 503"));
      const before = all.asked.length;
      all.clock.advance(pauseMs - 1);
      expect(all.asked).toHaveLength(before);
      all.clock.advance(1);
      expect(all.asked).toHaveLength(before + 1);
    }
    expect(all.asked.map(({ context }) => context.attempt)).toEqual([1, 2, 3, 4]);
    expect(new Set(all.asked.map(({ context }) => context.id)).size).toBe(1);
    await all.asked[3]!.answer("done");
    expect(all.sendOut()).toEqual([["done", 10]]);
  });

  test("that are not worth another attempt are final; what `when` throws counts as no", async () => {
    const when = (error: unknown) => (error as { retry: () => boolean }).retry();
    for (const error of [{ retry: () => false }, new Error("it has no retry")]) {
      const all = await service({ retries: { attempts: 3, when } });
      all.give(1);
      await all.asked[0]!.fail(error);
      expect(messageOf(() => all.held.step())).toContain("attempt 1 of 3");
    }
  });

  test("go to the side output in their place, with reason, attempts and id", async () => {
    const all = await service({ onFailure: "sideOutput", retries: { attempts: 2, delay: 1 } });
    for (const n of [1, 2, 3]) all.give(n);
    for (const [at, answer] of [
      [0, "one"],
      [2, "three"],
    ] as const)
      await all.asked[at]!.answer(answer);
    await all.asked[1]!.fail(new Error("HTTP 404"));
    all.clock.advance(1);
    await all.asked[3]!.fail("gone");
    const { id } = all.asked[3]!.context;
    const failure = {
      value: { user: "ann", n: 2 },
      reason: "it threw a text of 4 characters",
      attempts: 2,
      id,
    };
    expect(all.sendOut()).toEqual([
      ["one", 10],
      ["failed", failure, 20],
      ["three", 30],
    ]);
  });

  test.each([
    [
      "nothing",
      undefined,
      "request answered undefined: a record is needed, or an array of records, [] for none",
    ],
    ["null", null, "request answered null"],
    ["promises in an array", [Promise.resolve(1)], "request answered an array with promises in it"],
    ["a function", () => 1, "request answered a function"],
  ])("%s is no answer, also where failures have a side output", async (_, answer, message) => {
    const all = await service({ onFailure: "sideOutput" });
    all.give(1);
    await all.asked[0]!.answer(answer);
    expect(messageOf(() => all.held.step())).toContain(`operator "ask" failed: ${message}`);
  });
});

describe("a service that is down is a trouble with its latest reason", () => {
  const down = async (): Promise<Service> => {
    const all = await service({ retries: { attempts: 3, delay: "2 s" }, onFailure: "sideOutput" });
    all.give(1);
    await all.asked[0]!.fail(new Error("HTTP 502"));
    all.clock.advance(2000);
    await all.asked[1]!.fail(new Error("HTTP 503"));
    all.clock.advance(3999);
    expect(all.troubles.list()).toMatchObject([
      { what: 'requests of operator "ask"', reason: expect.stringContaining("HTTP 503") },
    ]);
    all.clock.advance(1);
    return all;
  };

  test("until it answers", async () => {
    const all = await down();
    await all.asked[2]!.answer("up again");
    expect(all.troubles.list()).toEqual([]);
  });

  test("until the last attempt was made, or the subtask ends", async () => {
    const failed = await down();
    await failed.asked[2]!.fail(new Error("HTTP 503"));
    expect(failed.troubles.list()).toEqual([]);
    const closed = await down();
    await closed.chain.close();
    expect(closed.troubles.list()).toEqual([]);
  });
});

describe("time", () => {
  test("is over for all attempts together; what comes later counts for nothing", async () => {
    const all = await service({ timeout: "1 s", retries: { attempts: 9, delay: 600, backoff: 1 } });
    all.give(1);
    all.clock.advance(300);
    await all.asked[0]!.fail(new Error("HTTP 503"));
    all.clock.advance(600);
    const { signal } = all.asked[1]!.context;
    all.clock.advance(99);
    expect(signal.aborted).toBe(false);
    all.clock.advance(1);
    expect(signal.aborted).toBe(true);
    await all.asked[1]!.answer("late");
    expect(all.out).toEqual([]);
    expect(messageOf(() => all.held.step())).toBe(
      'operator "ask" failed: the request for an object failed in attempt 2 of 9: there was no answer within 1000 ms (timeout)',
    );
    expect(all.clock.pending).toEqual([]);
  });

  test("that is over is a failure like others, and the rest goes on", async () => {
    const all = await service({ timeout: 50, onFailure: "sideOutput" });
    all.give(1);
    all.clock.advance(40);
    all.give(2);
    await all.asked[1]!.answer("two");
    all.clock.advance(10);
    await all.asked[0]!.answer("late");
    const { id } = all.asked[0]!.context;
    const reason = "there was no answer within 50 ms (timeout)";
    expect(all.sendOut()).toEqual([
      ["failed", { value: { user: "ann", n: 1 }, reason, attempts: 1, id }, 10],
      ["two", 20],
    ]);
  });

  test("ends with the subtask: signals abort, and no timer is left", async () => {
    const all = await service({ retries: { attempts: 2, delay: 1000 } });
    for (const n of [1, 2]) all.give(n);
    await all.asked[1]!.fail(new Error("HTTP 503"));
    await all.chain.close();
    expect(all.asked.map(({ context }) => context.signal.aborted)).toEqual([true, true]);
    expect(all.clock.pending).toEqual([]);
    await all.asked[0]!.answer("late");
  });
});

describe.each([true, false])("a cut (keyed: %s)", (keyed) => {
  test("holds what has not gone out, done or not; it is asked for again, in order and under the same ids", async () => {
    const mode = "unordered";
    const first = await service({ keyed, mode });
    for (const n of [1, 2]) first.give(n, `user ${n}`);
    first.held.mark(15, false);
    for (const n of [3, 4]) first.give(n, `user ${n}`);
    await first.asked[0]!.answer("one");
    await first.asked[2]!.answer("three");
    expect(first.sendOut()).toEqual([["one", 10]]);
    const second = await service({ keyed, mode }, cut(first));
    // The flow of the subtask tells how far event time had come.
    second.held.mark(15, false);
    // A step begins one of them.
    expect([1, 2, 3, 4].map(() => second.held.step())).toEqual([true, true, true, false]);
    expect(numbersOf(second)).toEqual([2, 3, 4]);
    second.give(5, "user 5");
    expect(numbersOf(second)).toEqual([2, 3, 4, 5]);
    const idOf = ({ asked }: Service, n: number) => asked.find(({ value }) => value.n === n)!.context.id;
    for (const n of [2, 3, 4]) expect(idOf(second, n)).toBe(idOf(first, n));
    for (const one of [...second.asked].reverse()) await one.answer(one.value.n);
    expect(second.sendOut()).toEqual([[2, 20], "15", [5, 50], [4, 40], [3, 30]]);
    expect(cut(second).filter(({ state }) => state === "requests")).toEqual([]);
  });

  test("remembers the numbers of requests: no id is given twice, and a record read again gets its own", async () => {
    const first = await service({ keyed });
    first.give(1);
    await first.asked[0]!.answer([]);
    first.sendOut();
    const taken = cut(first);
    first.give(2);
    const second = await service({ keyed }, taken);
    second.give(2);
    second.give(2);
    await second.asked[0]!.answer([]);
    second.sendOut();
    const [again, twin] = second.asked.map(({ context }) => context.id);
    expect(again).toBe(first.asked[1]!.context.id);
    expect(new Set([first.asked[0]!.context.id, again, twin]).size).toBe(3);
  });
});
