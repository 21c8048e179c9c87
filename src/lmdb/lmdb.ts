/**
 * The package `lmdb`, which is there only where its user has installed it.
 *
 * Owns: loading it, the part of its interface that is used, and the words where it is not there.
 */
import { describeError, EnvironmentError } from "../errors.ts";

export interface LmdbDatabase {
  /** What it answers is valid until the next call, and only its first `length` bytes are. */
  getBinaryFast(key: Uint8Array): Uint8Array | undefined;
  getRange(options: {
    readonly start: Uint8Array;
    readonly end: Uint8Array;
    readonly limit?: number;
  }): Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  putSync(key: Uint8Array, value: Uint8Array): void;
  removeSync(key: Uint8Array): void;
  transactionSync(act: () => void): void;
  close(): Promise<void>;
}

export interface Lmdb {
  open(options: Readonly<Record<string, unknown>>): LmdbDatabase;
}

/** The version that the tests run with. */
const VERSION = "3.5.6";
/** In a variable: who builds the engine does not need the package, nor its types. */
const PACKAGE: string = "lmdb";

/** @throws EnvironmentError: it is not installed, or not for this machine */
export async function loadLmdb(): Promise<Lmdb> {
  try {
    return (await import(PACKAGE)) as Lmdb;
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    throw new EnvironmentError(
      `state.backend: "disk" needs the package lmdb, which ${isMissing ? "is not installed" : "cannot be loaded"}` +
        ` beside tidemark (${describeError(error).split("\n")[0]}); npm install lmdb@${VERSION}, or state.backend: "heap"`,
      { cause: error },
    );
  }
}
