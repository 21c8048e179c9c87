import { beforeAll, expect, test } from "vitest";
import type { CheckpointRetention, TerminalStatus } from "../../machines/protocol.ts";
import { objectsOf } from "../../src/checkpoint/reachability.ts";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { defineJob, type Job, type, valueState } from "../../src/index.ts";
import { readManifest } from "../../src/runtime/manifest.ts";
import type { NatsWorld } from "../support/servers/nats-world.ts";
import { until } from "../support/until.ts";
import { openSavepointWorld } from "./savepoint-world.ts";

const WORDS = 20;
const POISON = "poison";

interface Count {
  readonly word: string;
  readonly count: number;
}

let world: NatsWorld;
let savepoints: string;
beforeAll(async () => {
  const opened = await openSavepointWorld("retention");
  ({ world, savepoints } = opened);
  return opened.close;
});

/** Every piece of state is an object of its own. It takes checkpoints when it is asked to, and at its end. */
class Counting {
  readonly log = new MemoryLog<string>();
  readonly target = new MemorySinkTarget<Count>();

  fill(records: number): void {
    for (let i = 0; i < records; i++) this.log.append(`w${this.log.length % WORDS}`);
  }

  job(name: string, retention: CheckpointRetention, ending: "poisoned" | "bounded" | "endless"): Job {
    const checkpointing = { interval: "1 h", retention, inlineThreshold: 0 } as const;
    return defineJob(name, { parallelism: 1, checkpointing, restart: { strategy: "none" } }, (builder) => {
      builder
        .source("log", memorySource([this.log], ending === "bounded" ? { until: "end" } : {}))
        .keyBy((word) => word)
        .process("count", {
          state: { count: valueState(0) },
          output: type<Count>(),
          onRecord(word, { state, emit }) {
            if (word === POISON && ending === "poisoned") throw new Error("poisoned");
            state.count.set(state.count.get() + 1);
            emit({ word, count: state.count.get() });
          },
        })
        .sink("counts", memorySink(this.target));
    });
  }

  /** Each word's counts are 1, 2, 3 …, up to what is in the log: nothing lost, nothing twice. */
  wrong(): string[] {
    const counts = new Map<string, number>();
    const wrong: string[] = [];
    for (const { word, count } of this.target.committed) {
      if (count !== (counts.get(word) ?? 0) + 1) wrong.push(`${word} ${count} after ${counts.get(word)}`);
      counts.set(word, count);
    }
    if (this.target.committed.length !== this.log.length)
      wrong.push(`${this.target.committed.length} of ${this.log.length} records`);
    return wrong;
  }
}

/** Begins with a completed checkpoint and records behind it that are in none. */
const ENDS: { readonly [status in TerminalStatus]: (name: string, counting: Counting) => Promise<void> } = {
  finished: async () => {},
  stopped: async (name) => {
    await world.snapshot(name, "savepoint", { directory: savepoints, followedBy: "stop" });
  },
  canceled: (name) => world.client().cancel(name),
  failed: async (_name, { log }) => log.append(POISON),
  suspended: (name) => world.client().suspend(name),
};

const RETAINED: { readonly [retention in CheckpointRetention]: readonly TerminalStatus[] } = {
  delete: ["suspended"],
  "delete-on-cancellation": ["failed", "suspended"],
  "retain-on-cancellation": ["failed", "suspended", "canceled"],
};

const cells = (Object.keys(RETAINED) as CheckpointRetention[]).flatMap((retention) =>
  (Object.keys(ENDS) as TerminalStatus[]).map(
    (status) => [retention, status, RETAINED[retention].includes(status)] as const,
  ),
);

/** What the record names is there, and nothing else: deleted by and by. */
async function comesDownToItsRecord(name: string): Promise<readonly string[]> {
  const { checkpoints } = await world.record(name);
  const wanted: string[] = [];
  for (const checkpoint of checkpoints) {
    const manifest = await readManifest(world.cluster.storage, checkpoint.manifest);
    wanted.push(...objectsOf(checkpoint, manifest).map(({ handle }) => handle.name));
  }
  let found: readonly string[] = [];
  await until(
    `${name} leaves ${wanted.length} objects`,
    async () => {
      found = await world.objects(name);
      return JSON.stringify(found) === JSON.stringify(wanted.sort()) ? true : undefined;
    },
    { describe: () => `found ${found.join(", ")}; wanted ${wanted.join(", ")}` },
  );
  return found;
}

test.each(cells)("%s: what a %s job leaves is kept: %s", async (retention, status, kept) => {
  const name = `${retention}-${status}`;
  const counting = new Counting();
  counting.fill(400);
  const ending = status === "finished" ? "bounded" : "poisoned";
  const job = counting.job(name, retention, ending);
  await world.submit(job);
  await world.startWorker(job);
  if (status !== "finished") {
    await world.runs(name);
    await world.snapshot(name, "checkpoint");
    expect(await world.objects(name)).not.toEqual([]);
    counting.fill(100);
  }
  await ENDS[status](name, counting);
  await world.ends(name, status);
  const objects = await comesDownToItsRecord(name);
  expect(objects.length > 0).toBe(kept);
  if (status === "finished") expect(counting.wrong()).toEqual([]);

  const again = counting.job(`${name}-again`, retention, "endless");
  const restored = world.restore(again, `checkpoint:${name}`);
  if (!kept) {
    await expect(restored).rejects.toThrow(`job ${name} (${status}) keeps these checkpoints: none`);
    return;
  }
  await restored;
  await world.startWorker(again);
  counting.fill(100);
  await until(
    "everything is counted once",
    async () => {
      await world.snapshot(again.name, "checkpoint");
      return counting.wrong().length === 0 ? true : undefined;
    },
    { describe: () => counting.wrong().slice(0, 5).join("; ") },
  );
  // What it was restored from is not its own.
  expect(await world.objects(name)).toEqual(objects);
  expect(world.crashes).toEqual([]);
});
