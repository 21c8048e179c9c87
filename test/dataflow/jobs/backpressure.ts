/**
 * A job whose sink is about a hundred times too slow. Each worker notes its memory, after a forced collection, when its
 * source has given out one and three times what the windows of its channels hold.
 */
import { appendFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Sink, SinkWriter } from "../../../src/dataflow/sink.ts";
import { NO_TIMESTAMP, type Source } from "../../../src/dataflow/source.ts";
import { defineJob } from "../../../src/index.ts";

export const WINDOW_FRAMES = 8;
const RECORDS_PER_FRAME = 1024;
/** One channel to the subtask here, one to the other process. */
const CHANNELS = 2;
const WINDOW_RECORDS = WINDOW_FRAMES * RECORDS_PER_FRAME * CHANNELS;
const SINK_RECORDS_PER_SECOND = 8000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function note(windows: number): void {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  const line = JSON.stringify({ processId: process.pid, windows, bytes: heapUsed + external });
  appendFileSync(process.env.BACKPRESSURE_NOTES!, `${line}\n`);
}

interface Bid {
  readonly bidder: string;
  readonly text: string;
}

const source: Source<Bid> = {
  kind: "endless",
  replayable: true,
  bounded: false,
  discover: async () => [{ id: "0" }, { id: "1" }],
  async open() {
    let emitted = 0;
    const marks = [WINDOW_RECORDS, 3 * WINDOW_RECORDS];
    return {
      poll(collect, recordsMax) {
        for (let i = 0; i < recordsMax; i++) {
          emitted++;
          collect({ bidder: `bidder-${emitted % 997}`, text: `${emitted}`.padEnd(140, "x") }, NO_TIMESTAMP);
        }
        if (emitted >= (marks[0] ?? Number.POSITIVE_INFINITY)) note(marks.shift()! / WINDOW_RECORDS);
        return "more";
      },
      onAvailable() {},
      describePosition: () => `record ${emitted}`,
      snapshot: () => [],
      checkpointCompleted() {},
      close: async () => {},
    };
  },
};

class SlowWriter implements SinkWriter<Bid> {
  #written = 0;
  readonly #begunMs = performance.now();
  #wake: () => void = () => {};
  readonly #timer = setInterval(() => this.#wake(), 5);

  write(): void {
    this.#written++;
  }
  blocked(): boolean {
    return this.#written > ((performance.now() - this.#begunMs) / 1000) * SINK_RECORDS_PER_SECOND;
  }
  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }
  cut(): undefined {}
  snapshot(): undefined {}
  async commit(): Promise<void> {}
  async flush(): Promise<void> {}
  async close(): Promise<void> {
    clearInterval(this.#timer);
  }
}

const sink: Sink<Bid> = {
  kind: "slow",
  guarantee: "none",
  check: async () => {},
  open: async () => new SlowWriter(),
};

export default defineJob("backpressure", { parallelism: 2, channels: { window: WINDOW_FRAMES } }, (job) => {
  job
    .source("bids", source)
    .keyBy((bid) => bid.bidder)
    .reduce("latest", (_, bid) => bid)
    .sink("slow", sink);
});
