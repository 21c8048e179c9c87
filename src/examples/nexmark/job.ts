/**
 * A query of Nexmark over generated events (`NEXMARK_EVENTS`, default a million), its results in files: for instance
 * `NEXMARK_QUERY=q3 npx tidemark run src/examples/nexmark/job.ts` behind `npm run build`.
 */
import { ConfigurationError, defineJob, fileSink, generatorSource } from "tidemark";
import { nexmarkEvents } from "./generator.ts";
import { QUERIES, type Query } from "./queries/index.ts";
import { nexmarkStream } from "./stream.ts";

const events = Number(process.env.NEXMARK_EVENTS ?? 1_000_000);

const name = process.env.NEXMARK_QUERY ?? "q0";
const query = new Map<string, Query>(Object.entries(QUERIES)).get(name);
if (query === undefined) {
  throw new ConfigurationError(
    "NEXMARK_QUERY",
    `NEXMARK_QUERY is "${name}": use one of ${Object.keys(QUERIES).join(", ")}`,
  );
}

export default defineJob(`nexmark-${name}`, { parallelism: 2, checkpointing: { interval: "1 s" } }, (job) => {
  const source = generatorSource({ seed: 42, count: events, splits: 2, generate: nexmarkEvents() });
  query(nexmarkStream(job, source)).sink("results", fileSink({ directory: `nexmark-${name}` }));
});
