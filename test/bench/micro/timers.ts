/**
 * What timers cost, and what 10^6 of them do to everything else when they are due at once, without transport:
 * `npx tsc -b && node --expose-gc dist/test/bench/micro/timers.js [TIMERS [ROUNDS]]`.
 *
 * A keyed operator with timers, in the turns of a subtask. Registering and firing are told by processor time; the
 * delays of the event loop, the wait of a barrier and the pause of a cut by the wall clock, so that they mean
 * something on a quiet machine only, or with `chrt -r 1` in front. Each figure is the median of the rounds, with the
 * least and the greatest. The cases alternate. While the timers fire a barrier comes every 50 ms, and snapshots are
 * taken and encoded beside them, one at a time. Not measured: channels, uploads, what a user's onTimer does.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../../../src/clock.ts";
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { Slices } from "../../../src/dataflow/operators/contract.ts";
import { Turns } from "../../../src/runtime/worker/subtask/turns.ts";
import type { Key } from "../../../src/state/descriptor.ts";
import { inRow, process as processing } from "../../support/graphs/operators.ts";

const GROUPS = 128;
const TIMERS = Number(process.argv[2] ?? 1_000_000);
const ROUNDS = Number(process.argv[3] ?? 3);
const BARRIER_EVERY_MS = 50;
const TIME = 1_700_000_000_000;
const MB = 1 << 20;

interface Case {
  readonly name: string;
  readonly keyOf: (index: number) => Key;
  readonly timeOf: (index: number) => number;
}

const CASES: readonly Case[] = [
  { name: "integers as keys, one time", keyOf: (i) => i, timeOf: () => TIME },
  { name: "integers as keys, many times", keyOf: (i) => i, timeOf: (i) => TIME + ((i * 7919) % TIMERS) },
  { name: "texts as keys, one time", keyOf: (i) => `user-${i}`, timeOf: () => TIME },
  { name: "1000 timers for each key", keyOf: (i) => i % 1000, timeOf: (i) => TIME + i },
];

interface Keyed {
  readonly key: Key;
  readonly time: number;
}

function chainWithTimers(onFired: () => void): Chain {
  const operator = processing("timers", (value) => (value as Keyed).key, {
    state: {},
    onRecord: ({ time }: Keyed, { timers }) => timers.registerEventTimer(time),
    onTimer: ({ time }, { emit }) => emit(time),
  });
  return buildChain(
    { id: "bench", parallelism: 1, operators: inRow([operator], ["out"]) },
    {
      subtaskIndex: 0,
      maxParallelism: GROUPS,
      output: () => onFired,
      writer: () => undefined as never,
      elapsedMs: () => systemClock.elapsedMs(),
    },
  );
}

function usedBytes(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function processorMs(since?: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

/** One timer after the other, in microseconds of processor time. */
function register(chain: Chain, values: readonly Keyed[]): number {
  const before = process.cpuUsage();
  for (const value of values) chain.heads[0]!(value, 0);
  return (processorMs(before) * 1000) / values.length;
}

interface Storm {
  readonly fireUs: number;
  readonly loopMs: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly barriers: number;
  readonly barrierWaitMs: number;
  readonly cutMs: number;
}

function storm(chain: Chain, left: () => number): Promise<Storm> {
  let slices: Slices | undefined;
  let barrierWaitMs = 0;
  let cutMs = 0;
  let barriers = 0;
  let isEncoding = false;
  const delays = monitorEventLoopDelay({ resolution: 1 });
  return new Promise((resolve, reject) => {
    const before = process.cpuUsage();
    const turns = new Turns({
      input: {
        take() {
          slices ??= chain.advance(Number.MAX_SAFE_INTEGER);
          if (slices?.step() === true) return "more";
          return "ended";
        },
        takeBarrier: () => false,
        onAvailable() {},
      },
      timers: { isDue: false, step() {}, onDue() {} },
      clock: systemClock,
      rooms: [],
      outputs: [],
      flushMs: 10,
      onEnded() {
        clearInterval(triggers);
        turns.close();
        delays.disable();
        if (left() > 0) reject(new Error(`${left()} timers have not fired`));
        const ms = (nanoseconds: number) => nanoseconds / 1e6;
        const loopMs = {
          p50: ms(delays.percentile(50)),
          p99: ms(delays.percentile(99)),
          max: ms(delays.max),
        };
        const fireUs = (processorMs(before) * 1000) / TIMERS;
        resolve({ fireUs, loopMs, barriers, barrierWaitMs, cutMs });
      },
      onFailure: reject,
    });
    const triggers = setInterval(() => {
      const cameMs = performance.now();
      turns.atBorder(() => {
        const takenMs = performance.now();
        barriers++;
        barrierWaitMs = Math.max(barrierWaitMs, takenMs - cameMs);
        // One checkpoint at a time, as by default.
        if (isEncoding) return;
        isEncoding = true;
        const cuts = chain.snapshot();
        cutMs = Math.max(cutMs, performance.now() - takenMs);
        turns.beginWork({
          step(deadlineMs) {
            while (performance.now() < deadlineMs) {
              if (cuts.length === 0) {
                isEncoding = false;
                return "done";
              }
              if (cuts[0]!.cursor.next() === undefined) cuts.shift();
            }
            return "more";
          },
        });
      });
    }, BARRIER_EVERY_MS);
    delays.enable();
    turns.start();
  });
}

interface Sample extends Omit<Storm, "loopMs"> {
  readonly registerUs: number;
  readonly bytes: number;
  readonly loopP50Ms: number;
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
}

async function measure({ keyOf, timeOf }: Case): Promise<Sample> {
  const values = Array.from({ length: TIMERS }, (_, i): Keyed => ({ key: keyOf(i), time: timeOf(i) }));
  let left = TIMERS;
  const chain = chainWithTimers(() => left--);
  const beforeBytes = usedBytes();
  const registerUs = register(chain, values);
  const bytes = (usedBytes() - beforeBytes) / TIMERS;
  const { loopMs, ...rest } = await storm(chain, () => left);
  await chain.close();
  return { ...rest, registerUs, bytes, loopP50Ms: loopMs.p50, loopP99Ms: loopMs.p99, loopMaxMs: loopMs.max };
}

function told(samples: readonly Sample[], of: keyof Sample, digits: number): string {
  const sorted = samples.map((sample) => sample[of]).sort((a, b) => a - b);
  const [least, median, greatest] = [0, sorted.length >> 1, sorted.length - 1].map((i) =>
    sorted[i]!.toFixed(digits),
  );
  return `${median} (${least} to ${greatest})`;
}

if (globalThis.gc === undefined) console.log("without --expose-gc the bytes say nothing");
const samples = CASES.map((): Sample[] => []);
for (let round = 0; round < ROUNDS; round++) {
  for (const [i, one] of CASES.entries()) samples[i]!.push(await measure(one));
}
for (const [i, { name }] of CASES.entries()) {
  const figure = (of: keyof Sample, digits = 1) => told(samples[i]!, of, digits);
  console.log(name);
  console.log(
    `  register ${figure("registerUs", 2)} µs, fire ${figure("fireUs", 2)} µs, ${figure("bytes", 0)} bytes a timer`,
  );
  console.log(
    `  loop p50 ${figure("loopP50Ms")}, p99 ${figure("loopP99Ms")}, at most ${figure("loopMaxMs")} ms`,
  );
  console.log(
    `  ${figure("barriers", 0)} barriers wait at most ${figure("barrierWaitMs")} ms, cut at most ${figure("cutMs", 2)} ms`,
  );
}
console.log(`memory of the process: ${(process.memoryUsage().rss / MB).toFixed(0)} MB`);
