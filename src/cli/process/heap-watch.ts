/**
 * Says which states hold how much when a worker's memory is about to be used up: V8 ends a process whose heap is full
 * at once, and its last words name no state.
 */
import { getHeapStatistics } from "node:v8";
import type { Clock } from "../../clock.ts";
import type { StateSize } from "../../state/heap/backend.ts";

const LOOKS_EVERY_MS = 200;
/** Shares of the heap's limit; below the second one it may be told once more. */
const TOLD_FROM = 0.85;
const CALM_BELOW = 0.6;
/** The part of the limit that is for new objects: a process dies when the rest is full. */
const YOUNG_BYTES = 48 * 2 ** 20;
const STATES_MAX = 3;

export interface HeapUse {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

export interface HeapWatchOptions {
  readonly clock: Clock;
  /** The largest first. */
  readonly sizes: () => readonly StateSize[];
  readonly tell: (message: string) => void;
  /** There is room again. */
  readonly calm: () => void;
  /** Default: V8's own figures. */
  readonly use?: () => HeapUse;
}

/** Goes on for as long as the process does, and does not keep it alive. */
export function watchHeap({ clock, sizes, tell, calm, use = heapUse }: HeapWatchOptions): void {
  let isTold = false;
  /** Rubbish that is not collected yet counts as used: only the second time it is believed. */
  let wasHigh = false;
  const look = (): void => {
    const { usedBytes, limitBytes } = use();
    const isHigh = usedBytes >= limitBytes * TOLD_FROM;
    if (isHigh && wasHigh && !isTold) {
      isTold = true;
      tell(describe({ usedBytes, limitBytes }, sizes()));
    }
    if (isTold && usedBytes < limitBytes * CALM_BELOW) {
      isTold = false;
      calm();
    }
    wasHigh = isHigh;
    clock.after(LOOKS_EVERY_MS, look, false);
  };
  look();
}

function heapUse(): HeapUse {
  const { used_heap_size: usedBytes, heap_size_limit } = getHeapStatistics();
  return { usedBytes, limitBytes: heap_size_limit - YOUNG_BYTES };
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 24 ? 1 : 0)} MiB`;

function describe({ usedBytes, limitBytes }: HeapUse, sizes: readonly StateSize[]): string {
  const states = sizes.slice(0, STATES_MAX).map(({ operator, state, rows, bytesPerRow }) => {
    const bytes = bytesPerRow === undefined ? "" : `, ${mebibytes(rows * bytesPerRow)} when stored`;
    return `state "${state}" of operator "${operator}" holds ${rows} rows${bytes}`;
  });
  const held = states.length === 0 ? "no keyed state holds rows" : states.join("; ");
  const percent = Math.round((usedBytes / limitBytes) * 100);
  return (
    `the memory of this worker is nearly used up: ${percent} % of ${mebibytes(limitBytes)}; ${held}. Give it more ` +
    "(NODE_OPTIONS=--max-old-space-size=MEGABYTES), use more workers, let values expire (ttl), or keep state on disk " +
    '(state.backend: "disk")'
  );
}
