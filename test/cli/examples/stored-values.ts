/** What a checkpoint holds of one keyed state, read from the manifest without the engine's own way to restore it. */

import type { Cluster } from "../../../src/cli/assembly.ts";
import { readJob, readRetained } from "../../../src/cli/stored/retained.ts";
import {
  readChunkDeletions,
  readChunkHeader,
  readChunkKeys,
  readChunkValues,
} from "../../../src/state/snapshot/chunk.ts";
import { ColumnDecoder } from "../../../src/state/snapshot/columns.ts";

/** The value of each key in the latest checkpoint. */
export async function storedValues(cluster: Cluster, job: string, state: string) {
  const record = await readJob(await cluster.openRecords(), job);
  const latest = (await readRetained(record, cluster.storage)).at(-1);
  if (latest === undefined || !("manifest" in latest))
    throw new Error(`no checkpoint: ${JSON.stringify(latest)}`);
  const values: Record<string, unknown> = {};
  for (const one of latest.manifest.subtasks.flatMap(({ states }) => states)) {
    if (one.kind !== "keyed" || one.state !== state) continue;
    for (const { content } of one.pieces) {
      const bytes = content instanceof Uint8Array ? content : await cluster.storage.get(content);
      const source = { object: "piece", bytes };
      for (let at = 0; at < bytes.byteLength; ) {
        const header = readChunkHeader(source, at);
        const deleted = readChunkDeletions(source, header) ?? new Set();
        const found = readChunkValues(source, header, header.entries - deleted.size, new ColumnDecoder());
        let next = 0;
        readChunkKeys(source, header, deleted).forEach((key, row) => {
          if (deleted.has(row)) delete values[String(key)];
          else values[String(key)] = found[next++];
        });
        at = header.end;
      }
    }
  }
  return values;
}
