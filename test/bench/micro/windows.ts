/**
 * What windows cost, without transport: `npx tsc -b && node dist/test/bench/micro/windows.js`.
 *
 * Tumbling counts against the same loop over bare Maps, and sliding windows (60 s by 1 s) against tumbling ones, in one
 * process; trust the ratios. Firing and removal are part of it. Then, with 10^6 windows open: how long a cut stops the
 * subtask, what a chunk of it takes, and some slices of the firing, all in CPU time. Not measured: decoding, channels.
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

const VIEWS = 1 << 19;
const ROUNDS = 4;
const SIZE_MS = 60_000;

function windowed(windows: AlignedWindows): OperatorDefinition {
  const definition = {
    key: (view: unknown) => (view as View).room,
    description: "bench",
    time: "event",
    allowedLateness: 0,
    bounds: { kind: "tumbling", sizeMs: SIZE_MS, offsetMs: 0 },
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

/** Event time that goes on from run to run, so that windows are always as full as in a job that runs for long. */
class Feed {
  private next = 0;
  private nextMark = SIZE_MS + 1000;
  private readonly views: readonly View[];
  private readonly perWindow: number;

  /** @param perWindow records in 60 s of event time */
  constructor(views: readonly View[], perWindow: number) {
    this.views = views;
    this.perWindow = perWindow;
  }

  /** Answers the microseconds that a record takes. */
  run(variant: Variant, records: number): number {
    const { views, perWindow } = this;
    const begin = process.cpuUsage();
    for (let left = records; left > 0; left--) {
      const time = SIZE_MS + Math.floor((this.next * SIZE_MS) / perWindow);
      if (time >= this.nextMark) {
        variant.watermark(time - 1);
        this.nextMark = time - (time % 1000) + 1000;
      }
      variant.record(views[this.next++ % views.length]!, time);
    }
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / records;
  }
}

const median = (samples: number[]): number => samples.sort((a, b) => a - b)[samples.length >> 1]!;

function compare(keys: number, perWindow: number): void {
  let x = 1;
  const views = Array.from({ length: VIEWS }, (_, price): View => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return { room: (x >>> 8) % keys, price };
  });
  const variants = {
    maps: bareMaps(),
    tumbling: engine(tumbling(SIZE_MS, 0)),
    sliding: engine(sliding(SIZE_MS, 1000, 0)),
  };
  const names = ["maps", "tumbling", "sliding"] as const;
  const feeds = {
    maps: new Feed(views, perWindow),
    tumbling: new Feed(views, perWindow),
    sliding: new Feed(views, perWindow),
  };
  const times: Record<keyof typeof variants, number[]> = { maps: [], tumbling: [], sliding: [] };
  const fired: Record<keyof typeof variants, number> = { maps: 0, tumbling: 0, sliding: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of names) {
      const before = emitted;
      const us = feeds[name].run(variants[name], perWindow);
      if (round > 0) times[name].push(us);
      fired[name] = (emitted - before) / perWindow;
    }
  }
  const [maps, tumbled, slid] = [median(times.maps), median(times.tumbling), median(times.sliding)];
  console.log(
    `${keys} keys, ${perWindow} records in a window: Maps ${maps.toFixed(3)} us a record, tumbling ${tumbled.toFixed(3)} ` +
      `(ratio ${(maps / tumbled).toFixed(2)}), sliding by 60 ${slid.toFixed(3)} (ratio to tumbling ${(tumbled / slid).toFixed(2)}; ` +
      `${fired.sliding.toFixed(2)} results a record)`,
  );
}

const OPEN = 1_000_000;

function inWords(name: string, samplesMs: number[]): string {
  const sorted = samplesMs.sort((a, b) => a - b);
  const at = (part: number): string => sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(3);
  return `${name} p50 ${at(0.5)}, p99 ${at(0.99)}, at most ${at(1)} ms (${sorted.length})`;
}

/** What stops the subtask while 10^6 pairs of a key and a pane hold something: `panes` for each key. */
function pauses(name: string, windows: AlignedWindows, panes: number): void {
  const chain = chainOf(windows);
  const head = chain.heads[0]!;
  const keys = OPEN / panes;
  const timed = (act: () => void, samplesMs: number[]): void => {
    const begin = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(begin);
    samplesMs.push((user + system) / 1000);
  };
  const add = (from: number, count: number): void => {
    for (let i = from; i < from + count; i++) {
      head({ room: i % keys, price: 0 }, SIZE_MS + 1000 * (Math.floor(i / keys) % panes));
    }
  };
  add(0, OPEN);
  const [cutMs, chunkMs, sliceMs, cutWhileFiringMs]: number[][] = [[], [], [], []];
  const cut = (samplesMs: number[]): void => {
    let cuts: ReturnType<Chain["snapshot"]> = [];
    timed(() => {
      cuts = chain.snapshot();
    }, samplesMs);
    for (const { cursor } of cuts) {
      for (let chunks = 0, more = true; more && chunks < 200; chunks++) {
        timed(() => {
          more = cursor.next() !== undefined;
        }, chunkMs!);
        add(chunks * 7919, 100);
      }
      cursor.cancel();
    }
  };
  for (let round = 0; round < 30; round++) cut(cutMs!);
  const slices = chain.advance(SIZE_MS * 2 - 1)!;
  for (let step = 1, more = true; more; step++) {
    timed(() => {
      more = slices.step();
    }, sliceMs!);
    if (step % 50 !== 0) continue;
    let cuts: ReturnType<Chain["snapshot"]> = [];
    timed(() => {
      cuts = chain.snapshot();
    }, cutWhileFiringMs!);
    for (const { cursor } of cuts) cursor.cancel();
  }
  console.log(
    `${name}, ${OPEN} windows open: ${inWords("cut", cutMs!)}; ${inWords("a chunk", chunkMs!)}; ` +
      `${inWords("slices of the firing", sliceMs!)}; ${inWords("a cut in its middle", cutWhileFiringMs!)}`,
  );
}

compare(100_000, 1_000_000);
compare(100_000, 4_000_000);
compare(1_000, 1_000_000);
pauses("tumbling", tumbling(SIZE_MS, 0), 1);
pauses("sliding", sliding(SIZE_MS, 1000, 0), 10);
