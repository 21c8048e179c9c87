/** Hot keys of a whole job: its report tells them, and what they are only to one who asks. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { tumblingWindows } from "../../../src/index.ts";
import { keyGroupOf } from "../../../src/state/key-groups.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface Click {
  readonly room: string;
  readonly number: number;
}

const CLICKS = 6000;
const summed = (one: Click, other: Click): Click => ({ ...one, number: one.number + other.number });

let world: MemoryWorld;

afterEach(() => world.close());

test("a room that has half of all clicks is told, by operator, with what helps; and it by name only on demand", async () => {
  const log = new MemoryLog<Click>();
  for (let number = 0; number < CLICKS; number++)
    log.append({ room: number % 2 === 0 ? "secret room" : `room ${number}`, number });
  world = new MemoryWorld({
    parallelism: 2,
    bounded: false,
    build(builder) {
      const clicks = builder.source("clicks", memorySource([log])).keyBy(({ room }) => room);
      const into = () => memorySink(new MemorySinkTarget<unknown>());
      clicks.reduce("plain", summed).sink("one", into());
      clicks.reduce("combined", summed, { combine: true }).sink("two", into());
      clicks
        .window(tumblingWindows({ size: "1 d", time: "processing" }))
        .aggregate("merged", {
          createAccumulator: () => 0,
          add: (count) => count + 1,
          getResult: (count) => count,
          merge: (one, other) => one + other,
        })
        .sink("three", into());
      clicks.process("own", { state: {}, onRecord: ({ number }) => number }).sink("four", into());
    },
  });
  await world.begins(0);
  const hotAt = (operator: string, subtasks: Awaited<ReturnType<typeof world.comesTo>>["subtasks"]) =>
    subtasks.filter(({ subtask, hotKeys }) => subtask.startsWith(`${operator}/`) && hotKeys !== undefined);
  const keyGroup = keyGroupOf("secret room", 128);
  const { subtasks } = await world.comesTo("hot keys", (report) =>
    ["plain", "merged", "own"].every((operator) => hotAt(operator, report.subtasks).length === 1),
  );
  for (const [operator, mayCombine] of [
    ["plain", true],
    ["merged", true],
    ["own", false],
  ] as const) {
    const [{ hotKeys }] = hotAt(operator, subtasks) as [(typeof subtasks)[number]];
    expect(hotKeys).toMatchObject({ mayCombine, keys: [{ keyGroup }] });
    // Its subtask has a quarter of all others beside it: it has some two thirds.
    expect(hotKeys!.keys[0]!.perMille).toBeGreaterThan(500);
  }
  expect(hotAt("combined", subtasks).map(({ hotKeys }) => hotKeys!.mayCombine)).not.toContain(true);
  expect(JSON.stringify(subtasks)).not.toContain("secret");
  const asked = await world.client().status("words", true);
  expect(hotAt("own", asked!.subtasks)[0]!.hotKeys!.keys[0]!.key).toBe('"secret room"');
  expect(JSON.stringify(world.events)).not.toContain("secret");
});
