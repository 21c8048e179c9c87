/**
 * The store under a disk backend: one lmdb environment in a directory of its own.
 *
 * Owns: the files, which go with it. Does not own: which directory (working-directory.ts), what keys and values mean.
 *
 * Nothing is synchronized with the disk: after a crash the files are worthless, and no one opens them again. Each
 * reading ends with its call: a reader that stays open would keep all pages that were replaced since, and the file
 * would grow.
 */
import { rm } from "node:fs/promises";
import { describeError, EnvironmentError } from "../errors.ts";
import type { RowStore } from "../state/disk/store/row-store.ts";
import type { Lmdb, LmdbDatabase } from "./lmdb.ts";

const FULL = "make room there, or give another one";
const DAMAGED =
  "its files are damaged, and no checkpoint has anything of them: run the job again, and if that comes back give another one";

export class LmdbRowStore implements RowStore {
  private readonly directory: string;
  private readonly database: LmdbDatabase;
  private readonly closing: (done: Promise<void>) => void;

  /**
   * @param directory is empty
   * @param closing is given what ends when the files are gone
   * @throws EnvironmentError
   */
  constructor(lmdb: Lmdb, directory: string, closing: (done: Promise<void>) => void) {
    this.directory = directory;
    this.closing = closing;
    try {
      this.database = lmdb.open({
        path: directory,
        encoding: "binary",
        keyEncoding: "binary",
        noSync: true,
        noMetaSync: true,
        overlappingSync: false,
        cache: false,
        // Rows of one key group lie apart from those that were asked for before.
        noReadAhead: true,
      });
    } catch (error) {
      throw this.refused("cannot be opened", error);
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      const bytes = this.database.getBinaryFast(key);
      // It is a large buffer with a length that is set by hand, and the methods of the class do not see that.
      return bytes?.subarray(0, bytes.length);
    } catch (error) {
      throw this.refused("cannot be read", error, DAMAGED);
    }
  }

  range(
    from: Uint8Array,
    to: Uint8Array,
    limit: number,
    take: (key: Uint8Array, value: Uint8Array) => void,
  ): void {
    const bounds = { start: from, end: to };
    try {
      const rows = this.database.getRange(Number.isFinite(limit) ? { ...bounds, limit } : bounds);
      for (const { key, value } of rows) take(key, value);
    } catch (error) {
      throw this.refused("cannot be read", error, DAMAGED);
    }
  }

  transaction(act: () => void): void {
    let failed: { readonly error: unknown } | undefined;
    this.writing(() =>
      this.database.transactionSync(() => {
        try {
          act();
        } catch (error) {
          // What is in the transaction is committed all the same: rows are written over, so half of it does no harm.
          failed = { error };
        }
      }),
    );
    if (failed !== undefined) throw failed.error;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.writing(() => this.database.putSync(key, value));
  }

  remove(key: Uint8Array): void {
    this.writing(() => this.database.removeSync(key));
  }

  close(): void {
    const { directory, database } = this;
    this.closing(database.close().then(() => rm(directory, { recursive: true, force: true })));
  }

  private writing(act: () => void): void {
    try {
      act();
    } catch (error) {
      throw this.refused("does not take what is written", error);
    }
  }

  private refused(what: string, error: unknown, advice = FULL): EnvironmentError {
    const message = `state directory ${this.directory} ${what}: ${describeError(error)}; ${advice} (state.directory)`;
    return new EnvironmentError(message, { cause: error });
  }
}
