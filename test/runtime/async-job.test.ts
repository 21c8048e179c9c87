/** Requests to the outside world in whole jobs, over the memory twins: exact whatever fails, ends and is stopped. */
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import { type, valueState } from "../../src/index.ts";
import type { JobBuilder } from "../../src/job/builder.ts";
import type { Count } from "../support/graphs/word-count.ts";
import { type Latch, latch } from "../support/latch.ts";
import { MemoryWorld, snapshotRequest } from "../support/memory-world.ts";
import { patientSignal } from "../support/suite/patience.ts";
import { until } from "../support/until.ts";

/** Counts what `look` answers for each word. */
function counting(look: (word: string) => Promise<string>, keyed: boolean) {
  return (builder: JobBuilder, world: MemoryWorld): void => {
    const { logs, target, bounded } = world;
    const source = memorySource(logs, bounded ? { until: "end" } : {});
    const words = builder.source("log", world.paced(source));
    const definition = { request: look, capacity: 50, retries: { attempts: 5, delay: 1 } };
    const looked = keyed
      ? words.keyBy((word) => word).async("look", definition)
      : words.async("look", { ...definition, mode: "unordered" });
    looked
      .keyBy((word) => word)
      .process("count", {
        state: { count: valueState(0) },
        output: type<Count>(),
        onRecord(word, { state, emit }) {
          state.count.set(state.count.get() + 1);
          emit({ word, count: state.count.get() });
        },
      })
      .sink("counts", memorySink(target));
  };
}

let world: MemoryWorld;

/** Answers after some turns, and fails now and then. */
function fickle(): (word: string) => Promise<string> {
  let asked = 0;
  return async (word) => {
    const n = ++asked;
    for (let turns = n % 4; turns > 0; turns--) await turn();
    if (n % 13 === 0) throw new Error("HTTP 503");
    return word;
  };
}

afterEach(async () => {
  await world.close();
});

describe.each([true, false])("requests (keyed: %s)", (keyed) => {
  test("that fail now and then count once, with a worker lost on the way", async () => {
    world = new MemoryWorld({ recordsPerCheckpoint: 1000, build: counting(fickle(), keyed) });
    const first = await world.begins(10_000);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    world.expectExact();
  });
});

test("the end of input waits for what is under way, and checkpoints go on meanwhile", async () => {
  const service: Latch = latch();
  const look = async (word: string) => {
    await service.opened;
    return word;
  };
  world = new MemoryWorld({ build: counting(look, false) });
  await world.begins(60);
  await world.comesTo("all has been read", ({ subtasks }) => {
    const looking = subtasks.filter(({ subtask }) => subtask.startsWith("look/"));
    return looking.reduce((sum, { recordsIn }) => sum + recordsIn, 0) === 60;
  });
  const before = world.events.filter(({ role }) => role === "coordinator").length;
  await world.checkpoints(before + 2);
  expect(world.target.committed).toEqual([]);
  service.open();
  await world.finished();
  world.expectExact();
});

test("a stop leaves what is under way in its savepoint: the job that goes on asks for it again", async () => {
  let closed = true;
  let asked = 0;
  const look = async (word: string) => {
    asked++;
    if (closed) await new Promise(() => {});
    return word;
  };
  world = new MemoryWorld({ bounded: false, build: counting(look, true) });
  await world.begins(80);
  await until("some requests are under way", () => asked > 40);
  const stop = snapshotRequest({
    request: "stop",
    kind: "savepoint",
    directory: "/savepoints",
    followedBy: "stop",
  });
  const { location } = await world.client().snapshot(stop, patientSignal());
  await world.ends("stopped");
  expect(world.target.committed).toEqual([]);
  closed = false;
  await world.submit({ location: String(location), mode: "no-claim", drop: [], writeAgain: false });
  await world.allCommitted();
});
