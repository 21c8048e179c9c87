/**
 * The job of the test of whole jobs in event time: a fast and a slow source that are aligned; values that expire by
 * both clocks; windows whose results change, by count and by a continuous trigger; a coGroup; a versioned join.
 */
import {
  boundedOutOfOrderness,
  type Change,
  continuousEventTimeTrigger,
  countTrigger,
  defineJob,
  type JobBuilder,
  jetstreamSink,
  jetstreamSource,
  tumblingWindows,
  type,
  valueState,
} from "../../../src/index.ts";
import { type Pace, throttled } from "../../support/graphs/throttled-source.ts";
import { patientHeartbeat } from "../../support/suite/timings.ts";

export interface Measured {
  readonly key: string;
  /** Counts all records of its stream. */
  readonly n: number;
  readonly at: number;
}

/** What a window holds at one of its firings. */
export interface Held {
  readonly key: string;
  readonly start: number;
  readonly numbers: readonly number[];
}

export type Output =
  | { readonly kind: "counted"; readonly change: "add" | "retract"; readonly held: Held }
  | { readonly kind: "continuous"; readonly change: "add" | "retract"; readonly held: Held }
  | { readonly kind: "grouped"; readonly held: Held; readonly others: readonly number[] }
  | { readonly kind: "versioned"; readonly key: string; readonly n: number; readonly version: number | null }
  | { readonly kind: "lived"; readonly key: string; readonly n: number; readonly nth: number }
  | { readonly kind: "expired"; readonly key: string; readonly nth: number; readonly at: number }
  | { readonly kind: "forgotten"; readonly key: string; readonly n: number };

export const WINDOW_MS = 30_000;
export const LIFE_MS = 20_000;
export const DISORDER_MS = 5_000;

const windows = tumblingWindows({ size: WINDOW_MS });
const numbersOf = (records: Iterable<Measured>): number[] => Array.from(records, ({ n }) => n);

const changed =
  (kind: "counted" | "continuous") =>
  ({ change, value }: Change<Held>): Output => ({ kind, change, held: value });

const heldOf = (
  records: Iterable<Measured>,
  { key, window }: { readonly key: string; readonly window: { readonly start: number } },
): Held => ({ key, start: window.start, numbers: numbersOf(records) });

function read(job: JobBuilder, name: "FAST" | "SLOW", pace: Pace) {
  const subjects = [0, 1].map((half) => `${name.toLowerCase()}.${half}`);
  const source = throttled(jetstreamSource<Measured>({ stream: name, subjects, until: "end" }), pace);
  return job
    .source(name.toLowerCase(), source, {
      timestamp: ({ at }) => at,
      watermarks: boundedOutOfOrderness(DISORDER_MS),
      watermarkInterval: 0,
      // On a busy machine the leader may take long to answer: a pause lasts for three intervals without it.
      alignment: { group: "all", maxDrift: "10 s", interval: "1 s" },
    })
    .keyBy(({ key }) => key);
}

export default defineJob(
  "measured",
  {
    parallelism: 2,
    checkpointing: { interval: "300 ms", timeout: "1 h" },
    heartbeat: patientHeartbeat,
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s" },
  },
  (job) => {
    const fast = read(job, "FAST", { recordsPerSecond: 2_000, recordsPerCheckpoint: 120 });
    const slow = read(job, "SLOW", { recordsPerSecond: 150, recordsPerCheckpoint: 40 });

    const counted = fast
      .window(windows, { trigger: countTrigger(2), retract: true })
      .process("count", (records, context) => heldOf(records, context))
      .map("counted", changed("counted"));

    const continuous = fast
      .window(windows, { trigger: continuousEventTimeTrigger("1 s"), retract: true })
      .process("repeat", (records, context) => heldOf(records, context))
      .map("continuous", changed("continuous"));

    const grouped = fast
      .coGroup(slow)
      .window(windows)
      .process(
        "group",
        (records, others, context): Output => ({
          kind: "grouped",
          held: heldOf(records, context),
          others: numbersOf(others),
        }),
      );

    const versioned = fast.versionedJoin(slow).process(
      "version",
      ({ key, n }, version): Output => ({
        kind: "versioned",
        key,
        n,
        version: version?.n ?? null,
      }),
    );

    const lived = fast.process("live", {
      state: {
        // Read and written by timers alone, which run in one order of their times with what expires.
        nth: valueState(0, { ttl: { after: LIFE_MS, time: "event" } }),
        recent: valueState(0, { ttl: { after: "100 ms" } }),
      },
      output: type<Output>(),
      onRecord({ n, at }, { state, timers }) {
        state.recent.set(n);
        timers.registerEventTimer(at, n);
      },
      onTimer({ namespace }, { key, state, emit }) {
        state.nth.set(state.nth.get() + 1);
        emit({ kind: "lived", key, n: Number(namespace), nth: state.nth.get() });
      },
      onExpire({ state, value, time }, { key, emit }) {
        if (state === "nth") emit({ kind: "expired", key, nth: value, at: time });
        else emit({ kind: "forgotten", key, n: value });
      },
    });

    counted.union(continuous, grouped, versioned, lived).sink(
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
