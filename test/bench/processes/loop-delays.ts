/**
 * Loaded by a worker before anything else (`node --import`): measures how late its event loop is, and prints it.
 *
 * A delay is how much later than asked for a timer of 1 ms fires, as perf_hooks.monitorEventLoopDelay has it; that one
 * gives no single delays, which are needed here to tell situations apart (loop-delays-report.ts). The worker itself
 * knows nothing of it, so any copy of the engine can be measured.
 */
import { setTimeout as pause } from "node:timers/promises";
import { printLoopDelays } from "./loop-delays-report.ts";

const TIMER_MS = 1;
const IDLE_MS = 3000;
const LINE_EVERY_MS = 250;

let idle = true;
let delays: [number, number][] = [];
let printedAt = performance.now();
measureNext();
await pause(IDLE_MS);
print();
idle = false;

function measureNext(): void {
  const since = performance.now();
  const timer = setTimeout(() => {
    const lateMs = performance.now() - since - TIMER_MS;
    // The clock of the event feed.
    delays.push([Date.now(), Math.max(0, Math.round(lateMs * 1000) / 1000)]);
    if (performance.now() - printedAt >= LINE_EVERY_MS) print();
    measureNext();
  }, TIMER_MS);
  timer.unref();
}

function print(): void {
  printLoopDelays({ idle, delays });
  delays = [];
  printedAt = performance.now();
}
