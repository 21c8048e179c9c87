/**
 * A job that needs no input of its own: makes sentences, counts their words by length, and writes each word's running
 * count to the stream LENGTHS, exactly once. Replace it by yours.
 */
import { defineJob, generatorSource, jetstreamSink, valueState } from "tidemark";

const WORDS = ["tide", "mark", "a", "stream", "of", "records", "once", "and", "only", "once"];

// biome-ignore lint/style/noDefaultExport: this is how a job file hands over its job
export default defineJob("word-lengths", { parallelism: 2, checkpointing: { interval: "1 s" } }, (job) => {
  job
    .source(
      "sentences",
      generatorSource({
        splits: 2,
        ratePerSecond: 200,
        generate: (_, random) =>
          Array.from({ length: 5 }, () => WORDS[Math.floor(random() * WORDS.length)] ?? "a").join(" "),
      }),
    )
    .flatMap("words", (sentence) => sentence.split(" "))
    .keyBy((word) => word.length)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(word, { key, state }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        return { length: key, count, word };
      },
    })
    .sink(
      "lengths",
      jetstreamSink({
        stream: "LENGTHS",
        subject: ({ length }) => `lengths.${length}`,
        provision: true,
        subjects: ["lengths.>"],
      }),
    );
});
