/** A sink that forgets: what a job costs without output. Nothing to lose or repeat, so it says exactly-once. */
import type { Sink, SinkWriter } from "../../../src/dataflow/sink.ts";

export function discardSink<T>(): Sink<T> {
  return {
    kind: "discard",
    guarantee: "exactly-once",
    check: async () => {},
    open: async (): Promise<SinkWriter<T>> => ({
      write: () => {},
      blocked: () => false,
      onAvailable: () => {},
      cut: () => undefined,
      snapshot: () => undefined,
      commit: async () => {},
      flush: async () => {},
      close: async () => {},
    }),
  };
}
