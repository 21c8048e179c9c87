/**
 * What this process may use of its machine, looked at before anything else is loaded: with less than this it ends in
 * the middle of something, and its last words name no limit.
 *
 * Imports nothing of ours: each file that is loaded counts.
 */
import { readFileSync } from "node:fs";
import { getHeapStatistics } from "node:v8";

/** With 64 not even all modules can be loaded; a worker has a log, sockets, and files of state and output. */
const OPEN_FILES_MIN = 128;
/** V8's own measure, which is about 48 MiB more than --max-old-space-size says; at 60 a `run` has died at its start. */
const HEAP_MIB_MIN = 64;
const MIB = 1024 * 1024;

/** The limit that is too small, its value, and what is needed; undefined: none is. */
export function tightLimit(): string | undefined {
  const files = openFilesMax();
  if (files < OPEN_FILES_MIN)
    return `this process may have at most ${files} files open, and at least ${OPEN_FILES_MIN} are needed; raise the limit ("ulimit -n ${8 * OPEN_FILES_MIN}", LimitNOFILE of systemd)`;
  const heap = Math.floor(getHeapStatistics().heap_size_limit / MIB);
  if (heap < HEAP_MIB_MIN)
    return `the heap of this process may have at most ${heap} MiB, and at least ${HEAP_MIB_MIN} are needed; raise or take out --max-old-space-size (in NODE_OPTIONS, or where node is started)`;
  return undefined;
}

/** Node has raised the soft limit to the hard one already. Systems without /proc tell nothing. */
function openFilesMax(): number {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EMFILE" ? 0 : Number.POSITIVE_INFINITY;
  }
}
