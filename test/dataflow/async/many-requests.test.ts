/** QA1, TN7: requests that a restore has brought, thousands at once, in the turns of a subtask. */
import { expect, test } from "vitest";
import type { Chain } from "../../../src/dataflow/chain.ts";
import { defineJob } from "../../../src/index.ts";
import { Turns } from "../../../src/runtime/worker/subtask/turns.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf } from "../../support/graphs/chains.ts";

const REQUESTS = 10_000;
/** What the function does before it waits. */
const CALL_MS = 0.5;
/** A turn takes for 1.5 ms. */
const REQUESTS_PER_TURN_MAX = 3;

function askingChain(request: () => Promise<number>): Chain {
  const job = defineJob("job", {}, (job) => {
    job
      .source("in", testSource<number>())
      .async("ask", { request, mode: "unordered", capacity: REQUESTS })
      .sink("out", testSink());
  });
  return chainOf([job.operators.find(({ definition: { id } }) => id === "ask")!.definition]).chain;
}

test("begin one after the other: a turn ends by the clock, and barriers pass between two of them", async () => {
  let elapsedMs = 0;
  const timer = { cancel() {} };
  const later: (() => void)[] = [];
  const clock = {
    nowMs: () => 0,
    elapsedMs: () => elapsedMs,
    after: () => timer,
    later: (run: () => void) => void later.push(run),
  };
  const opening = {
    clock,
    signal: new AbortController().signal,
    troubles: { watch: () => undefined as never },
  };
  const never = () => new Promise<number>(() => {});

  const first = askingChain(never);
  await first.open(opening);
  for (let i = 0; i < REQUESTS; i++) first.heads[0]!(i, i);

  let begun = 0;
  const second = askingChain(() => {
    begun++;
    elapsedMs += CALL_MS;
    return never();
  });
  for (const { cursor, ...address } of first.snapshot())
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) {
      const restorer = second.restorer(address, { object: "cut", bytes: chunk.bytes });
      while (restorer.next());
    }
  await second.open(opening);
  expect(begun).toBe(0);

  let isBarrierThere = false;
  const passedAt: number[] = [];
  const turns = new Turns({
    input: {
      take: () => "idle",
      takeBarrier() {
        if (!isBarrierThere) return false;
        isBarrierThere = false;
        passedAt.push(begun);
        return true;
      },
      onAvailable() {},
    },
    timers: { isDue: false, step() {}, onDue() {} },
    clock,
    held: second.held,
    rooms: [],
    outputs: [],
    flushMs: 10,
    onEnded() {},
    onFailure(error) {
      throw error;
    },
  });
  turns.start();
  const perTurn: number[] = [];
  for (let turn = later.shift(); turn !== undefined; turn = later.shift()) {
    const before = begun;
    isBarrierThere ||= before === 300 || before === 3000;
    turn();
    perTurn.push(begun - before);
  }
  expect(begun).toBe(REQUESTS);
  expect(Math.max(...perTurn)).toBe(REQUESTS_PER_TURN_MAX);
  expect(passedAt).toEqual([300, 3000]);
});
