/** Reads of a restore go on while what was read is loaded, and come in the order of the pieces. */
import { expect, test } from "vitest";
import type { ObjectHandle, StateHandle, StatePiece } from "../../../../machines/protocol.ts";
import { systemClock } from "../../../../src/clock.ts";
import type { Chain } from "../../../../src/dataflow/chain.ts";
import { restoreKeyedState } from "../../../../src/runtime/worker/snapshots/restore.ts";

const object = (name: string): StatePiece => ({
  content: { name, bytes: 1, digest: name },
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

test("a few objects are read ahead, and loaded in their order", async () => {
  const loaded: string[] = [];
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const read = (handle: ObjectHandle) => {
    begun.push(handle.name);
    return new Promise<Uint8Array>((resolve) => {
      ends.set(handle.name, () => resolve(new Uint8Array(1)));
    });
  };
  const inline = { content: new Uint8Array(1), segments: [] };
  const states = [keyed([object("a"), object("b"), inline, object("c")]), keyed([object("d"), object("e")])];
  const restored = restoreKeyedState(chainOf(loaded), states, read, systemClock);
  await expect.poll(() => begun).toEqual(["a", "b"]);
  // The second one is there first, and waits for its turn.
  ends.get("b")!();
  await new Promise(setImmediate);
  expect(loaded).toEqual([]);
  ends.get("a")!();
  await expect.poll(() => loaded).toEqual(["a", "b", "state of count in the manifest"]);
  expect(begun).toEqual(["a", "b", "c", "d", "e"]);
  for (const name of ["e", "d", "c"]) ends.get(name)!();
  await restored;
  expect(loaded.slice(3)).toEqual(["c", "d", "e"]);
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
