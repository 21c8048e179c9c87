/** The input streams, filled once: every figure reads as much of them as it needs. */
import { jetstreamManager } from "@nats-io/jetstream";
import { fillStream } from "./jobs/workload.ts";
import type { BenchCluster } from "./processes/processes.ts";

export const KEYS = 100_000;
/** One bid a message. */
export const STREAM = "W1";
/** Arrays of bids. */
export const FRAMES = { stream: "W1F", perMessage: 100 } as const;

export async function fillSingle(cluster: BenchCluster, records: number): Promise<void> {
  await fill(cluster, STREAM, records, 1);
}

export async function fillFrames(cluster: BenchCluster, records: number): Promise<void> {
  await fill(cluster, FRAMES.stream, records, FRAMES.perMessage);
}

async function fill(cluster: BenchCluster, name: string, records: number, perMessage: number): Promise<void> {
  const { connection } = cluster;
  const manager = await jetstreamManager(connection);
  const subject = `in.${name}`;
  await manager.streams.add({ name, subjects: [subject] });
  await fillStream(connection, subject, { records, keys: KEYS, perMessage });
  const wanted = records / perMessage;
  for (;;) {
    const { messages } = (await manager.streams.info(name)).state;
    if (messages === wanted) return;
    if (messages > wanted) throw new Error(`stream ${name} has ${messages} instead of ${wanted} messages`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** How many hits a job has committed; its output stream is removed. */
export async function takeOutput(cluster: BenchCluster, job: string): Promise<number> {
  const manager = await jetstreamManager(cluster.connection);
  const stream = `OUT_${job}`;
  const subject = `out.${job}`;
  const { state } = await manager.streams.info(stream, { subjects_filter: subject });
  await manager.streams.delete(stream);
  return state.subjects?.[subject] ?? 0;
}
