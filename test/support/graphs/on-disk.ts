/** State on disk over a store in memory, of which hardly anything fits into the memory for rows. */
import { MemoryRowStore } from "../../../src/memory/row-store.ts";
import { DiskBackend } from "../../../src/state/disk/backend.ts";
import { RowCache } from "../../../src/state/disk/row-cache.ts";
import type { OpenBackend } from "../../../src/state/keyed-state.ts";

export const onDisk =
  (rowsMax: number): OpenBackend =>
  (options) =>
    new DiskBackend(options, new MemoryRowStore(), new RowCache({ rowsMax }));
