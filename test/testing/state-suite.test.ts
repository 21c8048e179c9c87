/** The exported suite of state backends: ours pass it, and it finds what breaks the contract. */
import { describe, expect, it } from "vitest";
import { MemoryRowStore } from "../../src/memory/row-store.ts";
import type { KeyedBackend, KeyedBackendOptions, NamedCursor } from "../../src/state/contract.ts";
import { DiskBackend } from "../../src/state/disk/backend.ts";
import { RowCache } from "../../src/state/disk/row-cache.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { stateBackendCases } from "../../src/testing/state-suite.ts";

const openDisk = (options: KeyedBackendOptions): KeyedBackend =>
  new DiskBackend(options, new MemoryRowStore(), new RowCache({ rowsMax: 50 }));

describe.each([
  ["heap", (options: KeyedBackendOptions): KeyedBackend => new HeapBackend(options)],
  ["disk", openDisk],
] as const)("the backend %s", (_, open) => {
  for (const { name, run } of stateBackendCases({ open })) it(name, run);
});

const failing = (open: (options: KeyedBackendOptions) => KeyedBackend): string[] =>
  stateBackendCases({ open }).flatMap(({ name, run }) => {
    try {
      run();
      return [];
    } catch {
      return [name.replace(/.*\((.*)\)$/, "$1")];
    }
  });

describe("a backend that breaks the contract is found", () => {
  it("by a cut that gives what is there when it is read", () => {
    class LateBackend extends HeapBackend {
      override snapshot(): NamedCursor[] {
        const begun = new Map<string, NamedCursor>();
        return super.snapshot().map(({ state, cut, cursor }) => {
          cursor.cancel();
          const late = () => {
            if (!begun.has(state)) begun.set(state, super.snapshot().find((one) => one.state === state)!);
            return begun.get(state)!.cursor;
          };
          return {
            state,
            cut,
            cursor: { base: undefined, seek: () => false, next: () => late().next(), cancel() {} },
          };
        });
      }
    }
    expect(failing((options) => new LateBackend(options))).toContain("KS3, KS4, KS5");
  });

  it("by rows that are restored in a subtask which does not own them, or nowhere", () => {
    class ForgettingBackend extends HeapBackend {
      override restorer(): { next(): boolean } {
        return { next: () => false };
      }
    }
    expect(failing((options) => new ForgettingBackend(options))).toEqual(
      expect.arrayContaining(["KS4", "KS5", "KS7"]),
    );
  });
});
