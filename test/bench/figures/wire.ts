/**
 * What crosses the network and what the processes weigh: parallelism 2 in two worker processes.
 *
 * Bytes are those of the channels' record frames, headers included, counted by a subscriber of their subjects: in a run
 * of its own, because the counting costs time. Memory is the most that was ever resident, at 10^5 keys: workload W1
 * from JetStream through the exactly-once sink, as fast as it goes.
 */
import { kindOf, MESSAGE } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { BenchCluster } from "../processes/processes.ts";
import { KEYS, STREAM } from "../streams.ts";

const BYTES_FULL = { name: "bytesPerRecord.full", better: "lower", unit: "B" } as const;
const BYTES_PROJECTED = { name: "bytesPerRecord.projected", better: "lower", unit: "B" } as const;
const RSS = ["coordinator", "worker1", "worker2", "natsServer"].map(
  (process): Figure => ({ name: `rssMb.${process}`, better: "lower", unit: "MB" }),
);
const RECORDS = 200_000;

export const wireFigures: readonly Figure[] = [BYTES_FULL, BYTES_PROJECTED];
export const memoryFigures: readonly Figure[] = RSS;

export async function measureWire(cluster: BenchCluster): Promise<Measured[]> {
  return [
    { ...BYTES_FULL, samples: [await bytesPerRecord(cluster, false)] },
    { ...BYTES_PROJECTED, samples: [await bytesPerRecord(cluster, true)] },
  ];
}

async function bytesPerRecord(cluster: BenchCluster, projected: boolean): Promise<number> {
  let bytes = 0;
  let records = 0;
  const subscription = cluster.connection.subscribe("tidemark.*.*.channel.>", {
    callback: (_, { data }) => {
      if (kindOf(data) !== MESSAGE.records) return;
      bytes += data.length;
      records += Buffer.from(data.buffer, data.byteOffset, data.byteLength).readUInt32BE(4);
    },
  });
  await cluster.run(
    {
      name: "wire",
      input: { kind: "generator", count: RECORDS, keys: KEYS },
      projected,
      sink: "discard",
      intervalMs: 1000,
      parallelism: 2,
    },
    { workers: 2 },
  );
  subscription.unsubscribe();
  return bytes / records;
}

export async function measureMemory(cluster: BenchCluster, settings: Settings): Promise<Measured[]> {
  const ran = await cluster.run(
    {
      name: "memory",
      input: { kind: "jetstream", stream: STREAM, end: settings.streamRecords },
      sink: "jetstream",
      intervalMs: 1000,
      parallelism: 2,
    },
    { workers: 2 },
  );
  const { coordinator, natsServer } = cluster.rss;
  const values = [coordinator, ...ran.rssMb, natsServer];
  return RSS.map((figure, i) => ({ ...figure, samples: [values[i]!] }));
}

export function comparableWire(): Comparable {
  const probe: Probe = {
    name: "wire",
    measure: async (cluster) => readingOf(await measureWire(cluster)),
  };
  return { probes: [probe], rows: rowsOf(wireFigures, probe.name) };
}

export function comparableMemory(): Comparable {
  const probe: Probe = {
    name: "memory",
    measure: async (cluster, settings) => readingOf(await measureMemory(cluster, settings)),
  };
  return { probes: [probe], rows: rowsOf(memoryFigures, probe.name) };
}
