/**
 * A storage of checkpoints as slow as an object store of a cloud: a directory whose requests take 100 ms, and whose
 * objects come and go at 90 MB/s each. It is what Amazon names for S3: 100 to 200 ms until the first byte, 85 to
 * 90 MB/s for one request. The directory is named by the environment.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileStorage } from "../../../src/checkpoint/file-storage.ts";
import type { CheckpointStorage } from "../../../src/checkpoint/storage.ts";

export const REMOTE_STORAGE_VARIABLE = "BENCH_STORAGE";
const REQUEST_MS = 100;
const BYTES_PER_MS = 90_000;

async function lasting<T>(bytesOf: (answer: T) => number, act: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const answer = await act();
  const leftMs = REQUEST_MS + bytesOf(answer) / BYTES_PER_MS - (performance.now() - startedMs);
  if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
  return answer;
}

const noBytes = () => 0;

export default function open(): CheckpointStorage {
  const directory = process.env[REMOTE_STORAGE_VARIABLE];
  if (directory === undefined)
    throw new Error(`run by test/bench/main.ts, which sets ${REMOTE_STORAGE_VARIABLE}`);
  const files = new FileStorage(directory, { syncs: false });
  return {
    description: `remote ${directory}`,
    put: (name, content, signal) =>
      lasting(
        ({ bytes }) => bytes,
        () => files.put(name, content, signal),
      ),
    // Read without a look at its digest, which the engine takes of what a storage of a user's own answers.
    get: ({ name }) =>
      lasting<Uint8Array>(
        ({ byteLength }) => byteLength,
        () => readFile(join(directory, name)),
      ),
    assertPresent: (handle) => lasting(noBytes, () => files.assertPresent(handle)),
    delete: (name) => lasting(noBytes, () => files.delete(name)),
    list: (prefix) => files.list(prefix),
    listUnfinished: (prefix) => files.listUnfinished(prefix),
  };
}
