/**
 * The word count by which checkpoints are explained. It reads stream WORDS:
 *
 *     hello  world  hello | world  hello
 *                         checkpoint: offset 3, hello 2, world 1
 *
 * A worker that dies behind the fifth word loses what it has counted since the checkpoint. The job goes on from there:
 * it reads the fourth and the fifth word again, and each count is in the files once.
 */
import { defineJob, fileSink, jetstreamSource, valueState } from "tidemark";

export default defineJob("hello-world", { parallelism: 1, checkpointing: { interval: "1 s" } }, (job) => {
  job
    .source("words", jetstreamSource({ stream: "WORDS", subjects: ["words"], decode: "text" }))
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(word, { state }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        return { word, count };
      },
    })
    .sink("counts", fileSink({ directory: "counts" }));
});
