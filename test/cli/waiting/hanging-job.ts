/** A job whose code hangs in one place as long as file "hang" is there, which it looks for itself. */

export type Place = "onEnd" | "prepared" | "commit";

export const HANG_FILE = "hang";

/** `where`: a key's end, the preparation of the sink's transaction, or its commit. */
export const hangingJob = (where: Place): string => `import { existsSync } from "node:fs";
import { defineJob, fileSink, generatorSource, valueState } from "tidemark";
const hangs = (where) => where === "${where}" && existsSync("${HANG_FILE}");
const over = async (where) => {
  while (hangs(where)) await new Promise((resolve) => setTimeout(resolve, 20));
};
const inner = fileSink({ directory: "out" });
const sink = {
  kind: inner.kind,
  guarantee: inner.guarantee,
  check: (environment) => inner.check(environment),
  async open(environment) {
    const writer = await inner.open(environment);
    return {
      write: (value, timestamp) => writer.write(value, timestamp),
      blocked: () => writer.blocked(),
      onAvailable: (wake) => writer.onAvailable(wake),
      cut(checkpointId) {
        const pending = writer.cut(checkpointId);
        return pending && { ...pending, prepared: () => over("prepared").then(() => pending.prepared()) };
      },
      snapshot: () => writer.snapshot(),
      commit: (transaction, from) => over("commit").then(() => writer.commit(transaction, from)),
      flush: () => writer.flush(),
      close: () => writer.close(),
    };
  },
};
export default defineJob("counting", { parallelism: 1, checkpointing: { interval: "200ms" } }, (job) => {
  job
    .source("numbers", generatorSource({ ratePerSecond: 200, generate: (index) => ({ number: index }) }))
    .keyBy((seen) => seen.number % 10)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(seen, { key, state, emit }) {
        state.count.set(state.count.get() + 1);
        emit(\`\${key} \${state.count.get()} \${seen.number}\`);
      },
      onEnd() {
        while (hangs("onEnd"));
      },
    })
    .sink("lines", sink);
});
`;
