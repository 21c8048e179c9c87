/** The backends of a worker that has its state on disk: each has a store of its own, all share the memory for rows. */
import type { Clock } from "../clock.ts";
import type { StateBackends } from "../state/backends.ts";
import { DiskBackend } from "../state/disk/backend.ts";
import { RowCache } from "../state/disk/row-cache.ts";
import { loadLmdb } from "./lmdb.ts";
import { LmdbRowStore } from "./row-store.ts";
import { WorkingDirectory } from "./working-directory.ts";

export interface DiskBackendsOptions {
  /** The directory below which this process makes its own. */
  readonly root: string;
  readonly job: string;
  /** Random. */
  readonly name: string;
  /** The memory for the rows of all backends of the process. */
  readonly cacheBytes: number;
  readonly clock: Clock;
}

/** @throws EnvironmentError: lmdb is not installed, or the directory cannot be used */
export async function openDiskBackends({
  cacheBytes,
  ...place
}: DiskBackendsOptions): Promise<StateBackends> {
  const lmdb = await loadLmdb();
  const directory = await WorkingDirectory.claim(place);
  const cache = new RowCache({ bytesMax: cacheBytes });
  let opened = 0;
  return {
    of: (generation) => (options) => {
      // Names of operators may hold what names of files may not.
      const path = directory.make(`g${generation}-${++opened}`);
      const store = new LmdbRowStore(lmdb, path, (done) => directory.ending(done));
      return new DiskBackend(options, store, cache);
    },
    close: () => directory.close(),
  };
}
