/** What a job says of requests to other services: options, types, vertices. */
import { describe, expect, expectTypeOf, test } from "vitest";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { defineJob, type FailedRequest, type KeyedStream, type Stream } from "../../../src/index.ts";
import type { AsyncDefinition } from "../../../src/job/async/definition.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { testSink, testSource } from "../connectors.ts";

interface Order {
  readonly user: string;
  readonly n: number;
}

const request = async (order: Order) => order.n;

function jobOf(build: (orders: Stream<Order>) => Stream<unknown>) {
  return defineJob("job", {}, (job) =>
    build(job.source("orders", testSource<Order>())).sink("out", testSink()),
  );
}

const refusal = (build: (orders: Stream<Order>) => Stream<unknown>): string => {
  const error = failureOf(() => jobOf(build));
  expect(error).toBeInstanceOf(ConfigurationError);
  return (error as Error).message;
};

describe("is refused:", () => {
  test.each<[string, unknown, string]>([
    ["no definition", undefined, 'operator "ask": request must be a function, got undefined'],
    ["a function alone", request, 'operator "ask": request must be a function, got undefined'],
    ["a typo", { request, capasity: 2 }, 'operator "ask": no member "capasity"; did you mean "capacity"?'],
    ["no capacity", { request, capacity: 0 }, "capacity must be a whole number of at least 1, got 0"],
    ["an unknown mode", { request, mode: "ordred" }, 'no mode "ordred"; did you mean "ordered"?'],
    [
      "order of keys without keys",
      { request, mode: "perKey" },
      'mode "perKey" needs keys: put keyBy in front of it',
    ],
    ["no time", { request, timeout: 0 }, "timeout must be at least 1 ms, got 0"],
    ["no duration", { request, timeout: "soon" }, 'operator "ask": timeout'],
    [
      "one attempt",
      { request, retries: { attempts: 1 } },
      "retries.attempts must be a whole number of at least 2",
    ],
    [
      "a shrinking pause",
      { request, retries: { attempts: 2, backoff: 0.5 } },
      "retries.backoff must be a number of at",
    ],
    ["an unknown retry", { request, retries: { attempts: 2, max: 1 } }, 'retries: no option "max"'],
    ["an unknown way", { request, onFailure: "drop" }, 'no onFailure "drop"; known: fail, sideOutput'],
    ["close that is none", { request, close: 1 }, "close must be a function"],
  ])("%s", (_, definition, message) => {
    const asked = definition as AsyncDefinition<Order, undefined, number, undefined>;
    expect(refusal((orders) => orders.async("ask", asked))).toContain(message);
  });

  test("the side output of failures that end the job", () => {
    expect(refusal((orders) => orders.async("ask", { request }).sideOutput("failed"))).toContain(
      'operator "ask": has no side outputs',
    );
  });

  test("a place inside a loop", () => {
    const message = refusal((orders) =>
      orders.iterate("loop", (again) => {
        const asked = again.async("ask", { request: async (order) => order });
        return { feedback: asked.filter("more", ({ n }) => n > 1), output: asked };
      }),
    );
    expect(message).toContain('operator "ask": is async and lies inside loop "loop"');
  });
});

test("it has a vertex to itself, whatever stands in front of it and behind it", () => {
  const job = jobOf((orders) =>
    orders
      .map("before", (order) => order)
      .async("ask", { request })
      .map("after", (n) => n),
  );
  const { vertices } = buildGraph(job, resolveJobConfig({}).config);
  expect(vertices.map(({ operators }) => operators.map(({ operator }) => operator.id))).toEqual([
    ["orders", "before"],
    ["ask"],
    ["after", "out"],
  ]);
});

test("results have the type of the answer, or of the elements of an array", () => {
  type Answers = (orders: Stream<Order>, keyed: KeyedStream<Order, string>) => void;
  const answers: Answers = (orders, keyed) => {
    expectTypeOf(orders.async("a", { request })).toExtend<Stream<number, { failed: FailedRequest<Order> }>>();
    expectTypeOf(orders.async("b", { request: () => ["a", "b"] })).toExtend<Stream<string>>();
    expectTypeOf(orders.async("c", { request: async ({ n }) => (n > 1 ? [n] : `${n}`) })).toExtend<
      Stream<number | string>
    >();
    keyed.async("d", {
      open: async () => ({ url: "http://service" }),
      request: async (order, { key, id, resource, attempt, signal }) => {
        expectTypeOf(key).toEqualTypeOf<string>();
        expectTypeOf(resource).toEqualTypeOf<{ url: string }>();
        expectTypeOf({ id, attempt, signal }).toEqualTypeOf<{
          id: string;
          attempt: number;
          signal: AbortSignal;
        }>();
        return order;
      },
      close: ({ url }) => void url,
    });
    expectTypeOf(keyed.async("e", { request, onFailure: "sideOutput" }).sideOutput("failed")).toExtend<
      Stream<FailedRequest<Order>>
    >();
  };
  expect(answers).toBeTypeOf("function");
});
