/**
 * A record that no other worker could be sent fails its job with the operator that made it and the place in the source.
 */
import { afterEach, expect, test } from "vitest";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

let world: MemoryWorld;

afterEach(async () => {
  await world.close();
});

test("operator and position are named, and what to do", async () => {
  const large = "x".repeat(33 * 1024 * 1024);
  world = new MemoryWorld({
    build: (builder, { logs, target }) => {
      builder
        .source("words", memorySource(logs.slice(0, 1), { until: "end" }), { parallelism: 1 })
        .map("enlarge", (word) => ({ word, count: 1, large: word === "last" ? large : "" }), {
          parallelism: 1,
        })
        // The records go to both workers, in turns.
        .rebalance()
        .map("again", ({ word, count }) => ({ word, count }))
        .sink("counts", memorySink(target));
    },
  });
  world.logs[0]!.append("first", "last", "last");
  world.startCoordinator();
  await Promise.all([world.startWorker(), world.startWorker()]);
  await world.submit();
  const report = await world.comesTo("a failure", ({ failures }) => failures.length > 0);
  expect(report.failures[0]!.reason).toMatch(
    /operator "enlarge" failed: one record takes \d+ bytes, and at most 33554432 can be sent to another worker: send less, or keep it in a store of your own and send its name \(at record [12] of log 0, or shortly before it\)/,
  );
});
