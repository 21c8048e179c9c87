// my-job.ts
import { defineJob, jetstreamSink, jetstreamSource, type, valueState } from "tidemark";

export default defineJob("word-count", { parallelism: 2, checkpointing: { interval: "1s" } }, (job) => {
  job
    .source("lines", jetstreamSource({ stream: "LINES", subjects: ["lines.0", "lines.1"], decode: "text" }))
    .flatMap("words", (line) => line.toLowerCase().match(/\p{L}+/gu) ?? [])
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      output: type<{ word: string; count: number }>(),
      onRecord(word, { state, emit }) {
        state.count.set(state.count.get() + 1);
        emit({ word, count: state.count.get() });
      },
    })
    .sink("counts", jetstreamSink({ stream: "COUNTS", subject: (r) => `counts.${r.word}` }));
});
