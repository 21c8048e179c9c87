/** The place that picks where a worker keeps keyed state, as its job's options say. */
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getHeapStatistics } from "node:v8";
import { LocalCopies } from "../checkpoint/local-copies.ts";
import { systemClock } from "../clock.ts";
import type { JobConfig } from "../config/job-config.ts";
import type { Logger } from "../dataflow/connector.ts";
import { openDiskBackends } from "../lmdb/disk-backends.ts";
import { type StateBackends, WatchedHeapBackends } from "../state/backends.ts";
import { openOwnBackends } from "./own-backend.ts";
import { type HeapWatchOptions, watchHeap } from "./process/heap-watch.ts";

/** The rest is for records under way, timers, and rubbish that is not collected yet. */
const SHARE_OF_HEAP = 4;

/** @throws EnvironmentError */
export async function openLocalCopies(
  localRecovery: JobConfig["checkpointing"]["localRecovery"],
  job: string,
  logger: Logger,
): Promise<LocalCopies | undefined> {
  if (localRecovery === undefined) return undefined;
  return await LocalCopies.open({
    root: localRecovery.directory ?? join(tmpdir(), `tidemark-copies-${process.getuid?.() ?? "0"}`),
    job,
    clock: systemClock,
    warn: (facts, message) => logger.warn(facts, message),
  });
}

/** @throws EnvironmentError */
export async function openStateBackends(
  state: JobConfig["state"],
  job: string,
  /** Told when memory is nearly used up, and by which states, and when there is room again. */
  memory: Pick<HeapWatchOptions, "tell" | "calm">,
): Promise<StateBackends> {
  if (state.backend === "heap") {
    const backends = new WatchedHeapBackends();
    watchHeap({ clock: systemClock, sizes: () => backends.sizes(), ...memory });
    return backends;
  }
  if (state.backend !== "disk") return await openOwnBackends(state.backend);
  return await openDiskBackends({
    // Each user has a root of their own: another one's cannot be written.
    root: state.directory ?? join(tmpdir(), `tidemark-state-${process.getuid?.() ?? "0"}`),
    job,
    name: `${job}-${randomBytes(8).toString("hex")}`,
    cacheBytes: state.cacheBytes ?? Math.floor(getHeapStatistics().heap_size_limit / SHARE_OF_HEAP),
    clock: systemClock,
  });
}
