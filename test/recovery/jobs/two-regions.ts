/** A job that only copies: each subtask reads its split and writes it, and nothing passes from one to the other. */
import { defineJob, jetstreamSink, jetstreamSource } from "../../../src/index.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import { patientHeartbeat } from "../../support/suite/timings.ts";

export interface CopiedRecord {
  readonly split: number;
  /** The number of the record in its split, from 1. */
  readonly n: number;
}

export default defineJob(
  "copies",
  {
    parallelism: 2,
    checkpointing: { interval: 200 },
    heartbeat: patientHeartbeat,
    // Long enough to look at what goes on meanwhile.
    restart: { strategy: "fixed-delay", attempts: 5, delay: "3 s" },
  },
  (job) => {
    job
      .source(
        "read",
        throttled(jetstreamSource<CopiedRecord>({ stream: "IN", subjects: ["in.0", "in.1"], until: "end" }), {
          recordsPerSecond: 400,
        }),
      )
      .map("copy", (record) => record)
      .sink(
        "write",
        jetstreamSink({
          stream: "OUT",
          subject: ({ split }) => `out.${split}`,
          provision: true,
          subjects: ["out.>"],
        }),
      );
  },
);
