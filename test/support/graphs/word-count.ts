/** Counts words, each record of its own, and in one variant with much state beside the counts. */

import type { Sink } from "../../../src/dataflow/sink.ts";
import type { Source } from "../../../src/dataflow/source.ts";
import { type, valueState } from "../../../src/index.ts";
import type { JobBuilder } from "../../../src/job/builder.ts";

export interface Count {
  readonly word: string;
  readonly count: number;
}

/** @param before is called before each word is counted */
export function wordCount(
  builder: JobBuilder,
  source: Source<string>,
  sink: Sink<Count>,
  before: () => void = () => {},
): void {
  builder
    .source("log", source)
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      output: type<Count>(),
      onRecord(word, { state, emit }) {
        before();
        state.count.set(state.count.get() + 1);
        emit({ word, count: state.count.get() });
      },
    })
    .sink("counts", sink);
}

/** @param ballast what is kept beside the count of each word */
export function wordCountWithBallast(
  builder: JobBuilder,
  source: Source<string>,
  sink: Sink<Count>,
  ballast: string,
): void {
  builder
    .source("log", source)
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0), ballast: valueState("") },
      output: type<Count>(),
      onRecord(word, { state, emit }) {
        state.count.set(state.count.get() + 1);
        state.ballast.set(ballast);
        emit({ word, count: state.count.get() });
      },
    })
    .sink("counts", sink);
}
