/** Sources and sinks that are only described, never opened. */
import type { Sink, SinkGuarantee } from "../../src/dataflow/sink.ts";
import type { Source } from "../../src/dataflow/source.ts";

export function testSource<T>(
  about: Partial<Pick<Source<T>, "kind" | "bounded" | "replayable">> = {},
): Source<T> {
  return {
    kind: "test",
    bounded: true,
    replayable: true,
    ...about,
    discover: () => Promise.reject(new Error("not used")),
    open: () => Promise.reject(new Error("not used")),
  };
}

/** Generic in the same way as a real sink: T comes from where the sink is used. */
export function testSink<T>(
  options: { guarantee?: SinkGuarantee; subject?: (record: T) => string } = {},
): Sink<T> & { subject: ((record: T) => string) | undefined } {
  return {
    kind: "test",
    guarantee: options.guarantee ?? "at-least-once",
    subject: options.subject,
    check: () => Promise.reject(new Error("not used")),
    open: () => Promise.reject(new Error("not used")),
  };
}
