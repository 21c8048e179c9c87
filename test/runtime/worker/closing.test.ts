/** A generation that ends while a subtask of it is being restored: what it had asked for and gets later is closed. */
import { afterEach, expect, test } from "vitest";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { latch } from "../../support/latch.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

let world: MemoryWorld;
afterEach(() => world.close());

test.each(["source", "sink"])("a %s that opens after the end of its generation is closed", async (slow) => {
  const asked = latch();
  const answered = latch();
  let open = 0;
  const late = <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> =>
    opening.then(async (opened) => {
      open++;
      asked.open();
      await answered.opened;
      const close = opened.close.bind(opened);
      return Object.assign(opened, {
        close: () => {
          open--;
          return close();
        },
      });
    });
  world = new MemoryWorld({
    build(builder, { logs, target }) {
      const source = memorySource([logs[0]!]);
      const sink = memorySink(target);
      builder
        .source(
          "words",
          {
            ...source,
            open: (...given) => (slow === "source" ? late(source.open(...given)) : source.open(...given)),
          },
          { parallelism: 1 },
        )
        .map("one", (word): Count => ({ word, count: 1 }), { parallelism: 1 })
        .sink(
          "counts",
          {
            ...sink,
            open: (...given) => (slow === "sink" ? late(sink.open(...given)) : sink.open(...given)),
          },
          { parallelism: 1 },
        );
    },
  });
  world.fill(10);
  world.startCoordinator();
  const worker = await world.startWorker();
  await world.submit();
  await asked.opened;
  await worker.stop();
  expect(open).toBe(1);
  answered.open();
  await until("it is closed", () => open === 0 || undefined, { everyMs: 1 });
});
