/**
 * Counts words, exactly once: every tenth occurrence of a word is reported while the job runs, and every word's final
 * count when its input has ended.
 */
import { defineJob, jetstreamSink, jetstreamSource, type, valueState } from "tidemark";

export interface WordCount {
  readonly word: string;
  readonly count: number;
  /** The word's count over the whole input. */
  readonly final: boolean;
}

export default defineJob("word-count", { parallelism: 2, checkpointing: { interval: "1 s" } }, (job) => {
  job
    .source(
      "lines",
      jetstreamSource({ stream: "LINES", subjects: ["lines.0", "lines.1"], decode: "text", until: "end" }),
    )
    .flatMap("words", (line) => line.toLowerCase().match(/\p{L}+/gu) ?? [])
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      output: type<WordCount>(),
      onRecord(word, { state, emit }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        if (count % 10 === 0) emit({ word, count, final: false });
      },
      onEnd({ key, state, emit }) {
        emit({ word: key, count: state.count.get(), final: true });
      },
    })
    .sink(
      "counts",
      jetstreamSink({
        stream: "COUNTS",
        subject: ({ word }) => `counts.${word}`,
        provision: true,
        subjects: ["counts.>"],
      }),
    );
});
