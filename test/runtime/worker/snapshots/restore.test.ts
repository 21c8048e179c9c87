/** Reads of a restore go on while what was read is loaded, and come in the order of the pieces. */
import { expect, test } from "vitest";
import type { ObjectHandle, StateHandle, StatePiece } from "../../../../machines/protocol.ts";
import { systemClock } from "../../../../src/clock.ts";
import type { Chain } from "../../../../src/dataflow/chain.ts";
import { restoreKeyedState } from "../../../../src/runtime/worker/snapshots/restore.ts";

const MIB = 1024 * 1024;

const object = (name: string, bytes = 1): StatePiece => ({
  content: { name, bytes, digest: name },
  segments: [],
});
const keyed = (pieces: readonly StatePiece[]): StateHandle => ({
  kind: "keyed",
  operator: "count",
  state: "n",
  keyGroups: { first: 0, last: 0 },
  pieces,
});

/** A chain that takes one byte of each piece, and notes it. */
function chainOf(loaded: string[], onLoad = (_: string) => {}): Chain {
  return {
    restorer: (_: unknown, source: { readonly object: string }) => ({
      next: () => {
        loaded.push(source.object);
        onLoad(source.object);
        return false;
      },
    }),
    restored: () => ({ step: () => false }),
  } as unknown as Chain;
}

/** A storage whose reads end when the test says so. */
function slowStorage() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    begun,
    end: (...names: string[]) => {
      for (const name of names) ends.get(name)!();
    },
    read: (handle: ObjectHandle) => {
      begun.push(handle.name);
      return new Promise<Uint8Array>((resolve) => {
        ends.set(handle.name, () => resolve(new Uint8Array(1)));
      });
    },
  };
}

test("large objects are read ahead two at a time, and loaded in their order", async () => {
  const loaded: string[] = [];
  const { begun, end, read } = slowStorage();
  const large = (name: string) => object(name, 16 * MIB);
  const inline = { content: new Uint8Array(1), segments: [] };
  const states = [keyed([large("a"), large("b"), inline, large("c")]), keyed([large("d"), large("e")])];
  const restored = restoreKeyedState(chainOf(loaded), states, read, systemClock);
  await expect.poll(() => begun).toEqual(["a", "b"]);
  // The second one is there first, and waits for its turn.
  end("b");
  await new Promise(setImmediate);
  expect(loaded).toEqual([]);
  end("a");
  await expect.poll(() => loaded).toEqual(["a", "b", "state of count in the manifest"]);
  expect(begun).toEqual(["a", "b", "c", "d"]);
  end("d", "c");
  await expect.poll(() => begun).toContain("e");
  end("e");
  await restored;
  expect(loaded.slice(3)).toEqual(["c", "d", "e"]);
});

test("small ones are read many at a time: each costs the storage's latency", async () => {
  const loaded: string[] = [];
  const { begun, end, read } = slowStorage();
  const names = Array.from({ length: 40 }, (_, i) => `small${i}`);
  const restored = restoreKeyedState(
    chainOf(loaded),
    [keyed(names.map((name) => object(name, 1000)))],
    read,
    systemClock,
  );
  await expect.poll(() => begun).toEqual(names.slice(0, 17));
  end(...names.slice(0, 17));
  await expect.poll(() => begun).toHaveLength(34);
  end(...names.slice(17, 34));
  await expect.poll(() => begun).toHaveLength(40);
  end(...names.slice(34));
  await restored;
  expect(loaded).toEqual(names);
});

test("an object larger than all that may be read ahead is read alone", async () => {
  const { begun, end, read } = slowStorage();
  const states = [keyed([object("huge", 100 * MIB), object("a"), object("b")])];
  const restored = restoreKeyedState(chainOf([]), states, read, systemClock);
  await expect.poll(() => begun).toEqual(["huge"]);
  end("huge");
  await expect.poll(() => begun).toEqual(["huge", "a", "b"]);
  end("a", "b");
  await restored;
});

test("a read ahead that fails fails the restore, and nothing else", async () => {
  const read = async (handle: ObjectHandle) => {
    if (handle.name === "b") throw new Error("b is missing");
    return new Uint8Array(1);
  };
  const loaded: string[] = [];
  const restoring = restoreKeyedState(
    chainOf(loaded),
    [keyed([object("a"), object("b")])],
    read,
    systemClock,
  );
  await expect(restoring).rejects.toThrow("b is missing");
  expect(loaded).toEqual(["a"]);
});
