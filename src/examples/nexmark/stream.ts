/** The events as a stream with event time, which every query reads. */
import { boundedOutOfOrderness, type JobBuilder, type Source, type Stream } from "tidemark";
import type { NexmarkEvent } from "./events.ts";

export function nexmarkStream(job: JobBuilder, source: Source<NexmarkEvent>): Stream<NexmarkEvent> {
  return job.source("events", source, {
    timestamp: ({ dateTime }) => dateTime,
    watermarks: boundedOutOfOrderness("4 s"),
  });
}
