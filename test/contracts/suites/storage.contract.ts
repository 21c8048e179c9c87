/** The suite of checkpoint storages (`src/testing/storage-suite.ts`) under this project's own test runner. */
import { describe, it } from "vitest";
import { type StorageSuiteOptions, storageCases } from "../../../src/testing/storage-suite.ts";

export function describeStorageContract(name: string, options: StorageSuiteOptions): void {
  describe(`storage: ${name}`, () => {
    for (const { name: title, run } of storageCases(options)) it(title, run);
  });
}
