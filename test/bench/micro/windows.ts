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

compare(100_000, 1_000_000);
compare(100_000, 4_000_000);
compare(1_000, 1_000_000);
