/**
 * `npm run nexmark -- [--query q0,q5] [--events N] [--warmup N] [--parallelism N] [--source generator|jetstream]
 * [--runs N] [--seed N] [--out-of-order N] [--json] [--profile DIR]`, or `--write FILE`.
 *
 * Measures the queries of Nexmark (src/examples/nexmark), one after the other, and checks them against oracles. How to
 * read it: README.md here.
 *
 * Exit codes: 0; 1 when an answer is wrong; 2 for wrong use.
 */
import { UsageError } from "../bench/arguments.ts";
import { BenchCluster } from "../bench/processes/processes.ts";
import { type Measurable, type NexmarkArguments, parseNexmarkArguments } from "./arguments.ts";
import { type EventRange, eventsOf, writeEvents } from "./events.ts";
import { type Measured, measure } from "./measurement.ts";
import { answerOf } from "./oracles/oracles.ts";
import { fillStream } from "./stream.ts";

try {
  process.exit(await run(parseNexmarkArguments(process.argv.slice(2))));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`nexmark: ${error.message}\n`);
  process.exit(2);
}

async function run(args: NexmarkArguments): Promise<number> {
  const { seed, warmup, outOfOrderGroup, write } = args;
  if (write !== undefined) {
    await writeEvents(write, { seed, outOfOrderGroup, count: args.events });
    return 0;
  }
  const events: EventRange = { seed, outOfOrderGroup, count: warmup + args.events };
  const cluster = await BenchCluster.start({ syncAlways: false });
  try {
    const { parallelism } = args;
    const stream = args.source === "jetstream" ? await fillStream(cluster, events, parallelism) : undefined;
    let areRight = true;
    for (const query of args.queries) {
      const variant = { query, events, parallelism, ...(stream && { stream }) };
      let best: Measured | undefined;
      for (let i = 0; i < args.runs; i++) {
        const measured = await measure(cluster, { ...variant, isChecked: false }, warmup, args.profile);
        if (best === undefined || measured.cpuSeconds < best.cpuSeconds) best = measured;
      }
      const correct = query === "gen" || (await isRight(cluster, query, variant));
      areRight &&= correct;
      report(args, query, best!, correct);
    }
    return areRight ? 0 : 1;
  } finally {
    await cluster.stop();
  }
}

/** A run of its own, so that digesting the results is not measured. */
async function isRight(
  cluster: BenchCluster,
  query: Exclude<Measurable, "gen">,
  variant: Omit<Parameters<typeof measure>[1], "isChecked">,
): Promise<boolean> {
  const { digest } = await measure(cluster, { ...variant, isChecked: true }, 0);
  const answer = answerOf(query, eventsOf(variant.events));
  return JSON.stringify(digest) === JSON.stringify(answer);
}

function report(args: NexmarkArguments, query: Measurable, measured: Measured, correct: boolean): void {
  const { seconds, cpuSeconds, eventsPerSecond, eventsPerCpuSecond, rssMb } = measured;
  const { events, parallelism, source } = args;
  if (args.json) {
    const rates = {
      eventsPerSecond: Math.round(eventsPerSecond),
      eventsPerCpuSecond: Math.round(eventsPerCpuSecond),
    };
    const times = { seconds: rounded(seconds), cpuSeconds: rounded(cpuSeconds) };
    console.log(JSON.stringify({ query, parallelism, source, events, ...times, ...rates, rssMb, correct }));
    return;
  }
  const [wall, cpu] = [eventsPerSecond, eventsPerCpuSecond].map((rate) => Math.round(rate / 1000));
  console.log(
    `${query.padEnd(4)} ${wall} K events/s, ${cpu} K events per CPU second, ` +
      `${(1_000_000 / eventsPerCpuSecond).toFixed(2)} us an event, ${rssMb} MB, ${correct ? "right" : "WRONG"}`,
  );
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
