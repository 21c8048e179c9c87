/** A job with a loop over two workers: counts the steps of each number until 1, and writes them when it is there. */
import { defineJob, jetstreamSink, jetstreamSource, type, valueState } from "../../../src/index.ts";
import { collatz, type Steps } from "../../support/graphs/collatz.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import { patientHeartbeat } from "../../support/suite/timings.ts";

interface Walk {
  readonly start: number;
  readonly value: number;
}

export default defineJob(
  "collatz",
  {
    parallelism: 2,
    checkpointing: { interval: "100 ms", timeout: "1 h", inlineThreshold: 512 },
    heartbeat: patientHeartbeat,
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s", resetBackoffThreshold: "2 s" },
  },
  (job) => {
    job
      .source(
        "numbers",
        throttled(
          jetstreamSource<number>({ stream: "IN", subjects: ["in.0", "in.1"], decode: "json", until: "end" }),
          { recordsPerSecond: 1000, recordsPerCheckpoint: 500 },
        ),
      )
      .map("walk", (start): Walk => ({ start, value: start }))
      .iterate("loop", (loop) => {
        const stepped = loop
          .keyBy(({ start }) => start)
          .process("step", {
            state: { steps: valueState(0) },
            output: type<Walk & Steps>(),
            onRecord({ start, value }, { state, emit }) {
              const steps = state.steps.get() + 1;
              state.steps.set(steps);
              emit({ start, value: collatz(value), steps });
            },
          });
        return {
          feedback: stepped.filter("more", ({ value }) => value !== 1).keyBy(({ value }) => value),
          output: stepped.filter("done", ({ value }) => value === 1),
        };
      })
      .map("steps", ({ start, steps }): Steps => ({ start, steps }))
      .sink(
        "write",
        jetstreamSink({
          stream: "OUT",
          subject: ({ start }) => `out.${start}`,
          provision: true,
          subjects: ["out.>"],
        }),
      );
  },
);
