/**
 * One query, run by real processes and measured.
 *
 * What is measured begins when the sources have given out the events of the warm-up, and ends when the sinks are
 * closed: all results are out, and the last checkpoint is complete. Processor time is that of all processes: the
 * workers', the coordinator's and the server's.
 */
import { ownModule } from "../bench/processes/copy.ts";
import type { BenchCluster, RunningJob } from "../bench/processes/processes.ts";
import { type Mark, sumAt } from "../bench/processes/progress.ts";
import { type NexmarkVariant, variantEnvironment } from "./jobs/variant.ts";
import { type Digest, merged, NO_ROWS } from "./oracles/digest.ts";

const JOB = ownModule("test/nexmark/jobs/query.js");
const SAMPLE_MS = 20;
const DIGEST = "digest ";

export interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly eventsPerSecond: number;
  readonly eventsPerCpuSecond: number;
  /** The most memory that the processes ever had, together. */
  readonly rssMb: number;
  /** The digest of the results, if it was taken. */
  readonly digest: Digest;
}

/** @param profile folder for profiles of the workers */
export async function measure(
  cluster: BenchCluster,
  variant: Omit<NexmarkVariant, "name">,
  warmup: number,
  profile?: string,
): Promise<Measured> {
  const { parallelism, query } = variant;
  const name = `nexmark-${query}`;
  const environmentOf = (unique: string) => variantEnvironment({ ...variant, name: unique });
  const others: Mark[] = [];
  const sampling = setInterval(() => others.push(markOf(cluster)), SAMPLE_MS);
  try {
    const nodeArguments = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    const described = { name, file: JOB, parallelism, environmentOf };
    const job = await cluster.start(described, { workers: parallelism, nodeArguments });
    try {
      await job.ended;
      const digests = await digestsOf(job, parallelism);
      others.push(markOf(cluster));
      const { coordinator, natsServer } = cluster.rss;
      const rssMb = job.rssMb.reduce((sum, each) => sum + each, coordinator + natsServer);
      return { ...paceOf(job.marks, others, warmup), rssMb, digest: digests.reduce(merged, NO_ROWS) };
    } finally {
      // A process that is killed writes no profile.
      await job.stop(profile === undefined ? "SIGKILL" : "SIGTERM");
    }
  } finally {
    clearInterval(sampling);
  }
}

function markOf(cluster: BenchCluster): Mark {
  return { t: performance.timeOrigin + performance.now(), records: 0, cpuUs: cluster.cpuUs };
}

/** One of each sink's subtask. What a process has printed may come behind the news of the job's end. */
async function digestsOf(job: RunningJob, count: number): Promise<Digest[]> {
  for (;;) {
    const lines = job.workers.flatMap((worker) => worker.lines).filter((line) => line.startsWith(DIGEST));
    if (lines.length >= count) return lines.map((line) => JSON.parse(line.slice(DIGEST.length)) as Digest);
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
  }
}

function paceOf(workers: readonly (readonly Mark[])[], others: readonly Mark[], warmup: number) {
  const times = [...new Set(workers.flatMap((marks) => marks.map((mark) => mark.t)))].sort((a, b) => a - b);
  const from = times.find((t) => sumAt(workers, t, "records") >= warmup);
  const to = times.at(-1);
  if (from === undefined || to === undefined || to <= from)
    throw new Error("the run was too short to be measured");
  const events = sumAt(workers, to, "records") - sumAt(workers, from, "records");
  const all = [...workers, others];
  const seconds = (to - from) / 1000;
  const cpuSeconds = (sumAt(all, to, "cpuUs") - sumAt(all, from, "cpuUs")) / 1_000_000;
  return { seconds, cpuSeconds, eventsPerSecond: events / seconds, eventsPerCpuSecond: events / cpuSeconds };
}
