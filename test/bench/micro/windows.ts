/**
 * What windows cost, without transport: `npx tsc -b && node dist/test/bench/micro/windows.js`.
 *
 * Tumbling counts against the same loop over bare Maps, and sliding windows (60 s by 1 s) against tumbling ones, in one
 * process; trust the ratios. Firing and removal are part of it. Not measured: decoding, channels, checkpoints.
 */
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import {
  type AlignedWindows,
  sliding,
  tumbling,
} from "../../../src/dataflow/operators/windows/aligned/assigner.ts";
import { inRow } from "../../support/graphs/operators.ts";

interface View {
  readonly room: number;
  readonly price: number;
}

const RECORDS = 1 << 19;
const ROUNDS = 3;
const SIZE_MS = 60_000;

function windowed(windows: AlignedWindows): OperatorDefinition {
  const definition = {
    key: (view: unknown) => (view as View).room,
    description: "bench",
    time: "event",
    allowedLateness: 0,
    windows,
    aggregation: {
      first: () => 1,
      add: (count: unknown) => (count as number) + 1,
      merge: (a: unknown, b: unknown) => (a as number) + (b as number),
      result: (count: unknown) => count,
      addName: "add",
    },
  } as const;
  return {
    id: "windows",
    kind: "window",
    details: kinds.alignedWindow.describe(definition),
    open: (services, outputs) => kinds.alignedWindow.open(definition, services, outputs),
  };
}

let emitted = 0;

function chainOf(windows: AlignedWindows): Chain {
  return buildChain(
    { id: "bench", parallelism: 1, operators: inRow([windowed(windows)], ["out"]) },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: () => () => {
        emitted++;
      },
      writer: () => undefined as never,
    },
  );
}

/** Takes records and the watermark behind each second of theirs. */
interface Variant {
  record(view: View, time: number): void;
  watermark(time: number): void;
}

function engine(windows: AlignedWindows): Variant {
  const chain = chainOf(windows);
  const head = chain.heads[0]!;
  return {
    record: (view, time) => head(view, time),
    watermark(time) {
      const slices = chain.advance(time);
      while (slices?.step());
    },
  };
}

function bareMaps(): Variant {
  const windows = new Map<number, Map<number, number>>();
  return {
    record({ room }, time) {
      const start = time - (time % SIZE_MS);
      let counts = windows.get(start);
      if (counts === undefined) {
        counts = new Map();
        windows.set(start, counts);
      }
      counts.set(room, (counts.get(room) ?? 0) + 1);
    },
    watermark(time) {
      for (const [start, counts] of windows) {
        if (start + SIZE_MS - 1 > time) continue;
        for (const _ of counts) emitted++;
        windows.delete(start);
      }
    },
  };
}

/** `perWindow`: records in 60 s of event time. */
function run(variant: Variant, views: readonly View[], perWindow: number, from: number): number {
  const begin = process.cpuUsage();
  let nextMark = from + 1000;
  for (let i = 0; i < views.length; i++) {
    const time = from + Math.floor((i * SIZE_MS) / perWindow);
    if (time >= nextMark) {
      variant.watermark(time - 1);
      nextMark = time + 1000;
    }
    variant.record(views[i]!, time);
  }
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / views.length;
}

const median = (samples: number[]): number => samples.sort((a, b) => a - b)[samples.length >> 1]!;

function compare(keys: number, perWindow: number): void {
  let x = 1;
  const views = Array.from({ length: RECORDS }, (_, price): View => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return { room: x % keys, price };
  });
  const variants = {
    maps: bareMaps(),
    tumbling: engine(tumbling(SIZE_MS, 0)),
    sliding: engine(sliding(SIZE_MS, 1000, 0)),
  };
  const times: Record<keyof typeof variants, number[]> = { maps: [], tumbling: [], sliding: [] };
  const duration = Math.ceil((RECORDS * SIZE_MS) / perWindow);
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of ["maps", "tumbling", "sliding"] as const) {
      const us = run(variants[name], views, perWindow, SIZE_MS * 2 + round * (duration + SIZE_MS * 3));
      if (round > 0) times[name].push(us);
    }
  }
  const [maps, tumbled, slid] = [median(times.maps), median(times.tumbling), median(times.sliding)];
  console.log(
    `${keys} keys, ${perWindow} records in a window: Maps ${maps.toFixed(3)} us a record, tumbling ${tumbled.toFixed(3)} ` +
      `(ratio ${(maps / tumbled).toFixed(2)}), sliding by 60 ${slid.toFixed(3)} (ratio to tumbling ${(tumbled / slid).toFixed(2)}; ${emitted % 10})`,
  );
}

compare(100_000, 1_000_000);
compare(1_000, 1_000_000);
