/** XM2 and XM3: which memory of a copied block is used again, and for how long it is kept. */
import { describe, expect, test } from "vitest";
import { SpareMemory } from "../../src/state/heap/blocks/spare-memory.ts";

const VALUES = ["a", "b", "c", "d"];

describe("spare memory", () => {
  test("is the memory of the next copies of the same length", () => {
    const spares = new SpareMemory();
    const words = spares.copyOfWords(Int32Array.of(1, 2, 3, 4));
    const slots = spares.copyOfSlots(VALUES);
    spares.giveWords(words);
    spares.giveSlots(slots);
    expect(spares.copyOfWords(Int32Array.of(5, 6))).toEqual(Int32Array.of(5, 6));
    const copy = spares.copyOfWords(Int32Array.of(5, 6, 7, 8));
    expect(copy).toBe(words);
    expect(copy).toEqual(Int32Array.of(5, 6, 7, 8));
    const copyOfSlots = spares.copyOfSlots(["e", "f", "g", "h"]);
    expect(copyOfSlots).toBe(slots);
    expect(copyOfSlots).toEqual(["e", "f", "g", "h"]);
    expect(spares.copyOfSlots(VALUES)).not.toBe(slots);
  });

  test("holds nothing of what was in it (XM3)", () => {
    const spares = new SpareMemory();
    const slots = spares.copyOfSlots(VALUES);
    spares.giveSlots(slots);
    expect(slots).toEqual([undefined, undefined, undefined, undefined]);
  });

  test("goes when a cut is done with under which nothing was copied (XM2)", () => {
    const spares = new SpareMemory();
    const words = spares.copyOfWords(Int32Array.of(1, 2));
    spares.giveWords(words);
    spares.trim();
    spares.trim();
    expect(spares.copyOfWords(Int32Array.of(3, 4))).not.toBe(words);
  });

  test("is never more than what was copied under the last cut (XM2)", () => {
    const spares = new SpareMemory();
    const given = [1, 2, 3].map((word) => spares.copyOfWords(Int32Array.of(word)));
    for (const words of given) spares.giveWords(words);
    spares.trim();
    const first = spares.copyOfWords(Int32Array.of(4));
    expect(given).toContain(first);
    spares.giveWords(first);
    spares.trim();
    const taken = [5, 6, 7].map((word) => spares.copyOfWords(Int32Array.of(word)));
    expect(taken.filter((words) => given.includes(words))).toHaveLength(1);
  });
});
