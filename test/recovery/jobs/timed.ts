/**
 * The job of the test of timers and functions: readings that come out of order are given out in the order of event time
 * (event timers), each is repeated a little later (processing-time timers), and all are put together to batches
 * (`open`, `close` and the state of a subtask).
 */
import { appendFileSync } from "node:fs";
import {
  boundedOutOfOrderness,
  defineJob,
  jetstreamSink,
  jetstreamSource,
  listState,
  operatorListState,
  type,
  valueState,
} from "../../../src/index.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import { patientHeartbeat } from "../../support/suite/timings.ts";

export interface Reading {
  readonly sensor: string;
  /** Counts all readings. */
  readonly n: number;
  readonly at: number;
}

export type Output =
  | { readonly kind: "ordered"; readonly sensor: string; readonly n: number; readonly nth: number }
  | { readonly kind: "repeated"; readonly sensor: string; readonly n: number; readonly nth: number }
  | { readonly kind: "batch"; readonly readings: readonly number[] };

const BATCH = 7;
const REPEATED_AFTER_MS = 250;

/** One line for each `open` and each `close`: what, process, subtask, which `open` of the process. */
const lives = process.env.LIVES_FILE;
let opened = 0;

export default defineJob(
  "timed",
  {
    parallelism: 2,
    checkpointing: { interval: "300 ms", timeout: "1 h" },
    heartbeat: patientHeartbeat,
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s" },
  },
  (job) => {
    const source = jetstreamSource<Reading>({ stream: "IN", subjects: ["in.0", "in.1"], until: "end" });
    const readings = job.source(
      "read",
      throttled(source, { recordsPerSecond: 400, recordsPerCheckpoint: 150 }),
      {
        timestamp: (reading) => reading.at,
        watermarks: boundedOutOfOrderness("5 s"),
      },
    );
    const bySensor = readings.keyBy(({ sensor }) => sensor);

    const ordered = bySensor.process("order", {
      state: { waiting: listState<Reading>(), given: valueState(0) },
      output: type<Output>(),
      onRecord(reading, { state, timers }) {
        state.waiting.add(reading);
        timers.registerEventTimer(reading.at);
      },
      onTimer({ time }, { key, state, emit }) {
        const all = state.waiting.get();
        const due = all.filter(({ at }) => at <= time).sort((a, b) => a.at - b.at || a.n - b.n);
        state.waiting.set(all.filter(({ at }) => at > time));
        for (const { n } of due) {
          state.given.set(state.given.get() + 1);
          emit({ kind: "ordered", sensor: key, n, nth: state.given.get() });
        }
      },
    });

    const repeated = bySensor.process("repeat", {
      state: { given: valueState(0) },
      output: type<Output>(),
      endOfInput: "fire",
      onRecord({ n }, { timers, currentProcessingTime }) {
        timers.registerProcessingTimer(currentProcessingTime + REPEATED_AFTER_MS, n);
      },
      onTimer({ namespace }, { key, state, emit }) {
        state.given.set(state.given.get() + 1);
        emit({ kind: "repeated", sensor: key, n: Number(namespace), nth: state.given.get() });
      },
    });

    const batches = readings.rebalance().process("batch", {
      state: { buffer: operatorListState<number>() },
      output: type<Output>(),
      open: async ({ subtaskIndex }) => {
        const life = `${process.pid} ${subtaskIndex} ${++opened}`;
        if (lives !== undefined) appendFileSync(lives, `open ${life}\n`);
        return { life };
      },
      onRecord({ n }, { state, emit }) {
        state.buffer.add(n);
        if (state.buffer.size < BATCH) return;
        emit({ kind: "batch", readings: [...state.buffer.get()] });
        state.buffer.clear();
      },
      onEnd({ state, emit }) {
        emit({ kind: "batch", readings: [...state.buffer.get()] });
      },
      close({ life }) {
        if (lives !== undefined) appendFileSync(lives, `close ${life}\n`);
      },
    });

    ordered.union(repeated, batches).sink(
      "write",
      jetstreamSink<Output>({
        stream: "OUT",
        subject: ({ kind }) => `out.${kind}`,
        subjects: ["out.>"],
        provision: true,
      }),
    );
  },
);
