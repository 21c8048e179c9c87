/** One query as a job that is measured: it counts the events that its source gives out, and forgets its results. */
import type { Source } from "../../../src/dataflow/source.ts";
import type { NexmarkEvent } from "../../../src/examples/nexmark/events.ts";
import { nexmarkEvents } from "../../../src/examples/nexmark/generator.ts";
import { QUERIES, type Query } from "../../../src/examples/nexmark/queries/index.ts";
import { nexmarkStream } from "../../../src/examples/nexmark/stream.ts";
import { defineJob, generatorSource, jetstreamSource, type Sink, type Stream } from "../../../src/index.ts";
import { discardSink } from "../../bench/jobs/discard-sink.ts";
import { Progress } from "../../bench/processes/progress.ts";
import { NO_ROWS } from "../oracles/digest.ts";
import { ORACLES } from "../oracles/oracles.ts";
import { type NexmarkVariant, variantOfEnvironment } from "./variant.ts";

const variant = variantOfEnvironment();
const { name, query, parallelism } = variant;
const progress = new Progress();

export default defineJob(name, { parallelism, checkpointing: { interval: "1 s" } }, (job) => {
  const events = nexmarkStream(job, sourceOf(variant)).map("counted", (event) => {
    progress.count();
    return event;
  });
  const results = query === "gen" ? events : (QUERIES[query] as Query)(events);
  (results as Stream<object>).sink("results", resultSink());
});

function sourceOf({ events, stream, parallelism }: NexmarkVariant): Source<NexmarkEvent> {
  const { seed, count, ...options } = events;
  if (stream === undefined) {
    return generatorSource({ seed, count, splits: parallelism, generate: nexmarkEvents(options) });
  }
  const { name, subjects } = stream;
  return jetstreamSource<NexmarkEvent>({
    stream: name,
    subjects: [...subjects],
    until: "end",
    progress: false,
  });
}

/** Prints the digest of its rows when it is closed, and marks how far the process has come. */
function resultSink(): Sink<object> {
  const sink = discardSink<object>();
  return {
    ...sink,
    open: async (environment) => {
      const collected = variant.isChecked && query !== "gen" ? ORACLES[query].collected() : undefined;
      return {
        ...(await sink.open(environment)),
        ...(collected !== undefined && { write: (row: object) => collected.add(row) }),
        close: async () => {
          progress.mark();
          console.log(`digest ${JSON.stringify(collected?.digest() ?? NO_ROWS)}`);
        },
      };
    },
  };
}
