import { BenchCluster } from "./processes.ts";
import { measureThroughput, throughputFigures } from "./throughput.ts";
import { fillFrames, fillSingle } from "./streams.ts";
const cluster = await BenchCluster.start({ syncAlways: false });
const settings = { rounds: Number(process.argv[3] ?? 1), records: 400_000, say: (l: string) => console.log(l) };
await fillSingle(cluster, settings.records);
await fillFrames(cluster, settings.records * 4);
const wanted = new Set(process.argv[2] === "all" ? throughputFigures.map((f) => f.name) : process.argv[2]!.split(","));
try {
console.log(JSON.stringify(await measureThroughput(cluster, wanted, settings), null, 1));
} finally { await cluster.stop(); }
