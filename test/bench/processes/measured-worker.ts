/**
 * A worker as `tidemark worker JOB --slots N --server URL` is one, that measures the delay of its own event loop.
 *
 * It is put together by the same assembly; only its event feed goes through here, which tells when snapshots begin and
 * end. A delay is how much later than asked for a timer of 1 ms fires, as perf_hooks.monitorEventLoopDelay has it; that
 * one cannot be switched between situations (what lies between two uses counts as a delay).
 */
import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { createWorker, openCluster, prepareJob } from "../../../src/cli/assembly.ts";
import { loadJobWithCode } from "../../../src/job/load.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { createLogger } from "../../../src/observe/logger.ts";
import { type LoopDelay, printLoopDelays } from "./measured-worker-report.ts";

const TIMER_MS = 1;
const IDLE_MS = 3000;
/** While these are taken state still grows and code is still compiled. */
const WARM_UP_SNAPSHOTS = 5;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { server: { type: "string" }, slots: { type: "string" }, "log-level": { type: "string" } },
});

const idle = createHistogram();
const running = createHistogram();
const snapshotting = createHistogram();
let situation = idle;
let deploying = false;
let snapshots = 0;
measureNext();
const logger = createLogger({ level: "error", fields: { role: "measured worker" } });
const prepared = prepareJob(await loadJobWithCode(positionals[0]!), { environment: process.env, flags: {} });
const nats = await connectNats({ servers: values.server!, name: "measured worker", logger });
const cluster = await openCluster(nats);
const feed = {
  publish(event: FeedEvent): void {
    if (event.role === "subtask") look(event);
    cluster.feed.publish(event);
  },
};
const stop = (error: Error): void => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
};
const worker = createWorker({ ...cluster, feed }, prepared, {
  slots: Number(values.slots),
  logger,
  onRefused: stop,
  onStuck: stop,
});
await pause(IDLE_MS);
deploying = true;
await worker.start();

function measureNext(): void {
  const since = performance.now();
  setTimeout(() => {
    const lateMs = performance.now() - since - TIMER_MS;
    if (situation !== idle || !deploying) situation.record(Math.max(1, Math.round(lateMs * 1e6)));
    measureNext();
  }, TIMER_MS);
}

function look(event: FeedEvent): void {
  if (event.event === "generation.started") situation = running;
  if (event.effects.includes("take.snapshot")) situation = snapshotting;
  if (event.event === "snapshot.stored") {
    situation = running;
    if (++snapshots === WARM_UP_SNAPSHOTS) {
      running.reset();
      snapshotting.reset();
    }
    printLoopDelays({ idle: delayOf(idle), running: delayOf(running), snapshotting: delayOf(snapshotting) });
  }
}

function delayOf(of: RecordableHistogram): LoopDelay {
  return { p50Ms: of.percentile(50) / 1e6, p99Ms: of.percentile(99) / 1e6, maxMs: of.max / 1e6 };
}
