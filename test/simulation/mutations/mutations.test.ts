/** What the simulation would find. `npm run simulate` hunts every mutation. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { changesOf, hunt, mutate } from "./hunt.ts";
import { MUTATIONS, type Mutation } from "./mutations.ts";

test.each(MUTATIONS)("the mutation fits its files: $name", (mutation) => {
  for (const change of changesOf(mutation)) {
    const text = readFileSync(change.file, "utf8");
    expect(mutate(text, change, mutation.name)).not.toBe(text);
  }
});

const named = (name: string): Mutation => MUTATIONS.find((one) => one.name === name)!;

test("a gap in a channel that is not noticed is found", async () => {
  const { foundBy, findings } = await hunt(named("a gap in a channel is not noticed"), 100);
  expect(foundBy).toBeGreaterThan(0);
  // What is lost is missing in the output, or in the state.
  expect(findings).toEqual(expect.arrayContaining([expect.stringMatching(/came|: nothing, not/)]));
});

test("key groups that are dropped on restore are found, by a story of one restore", async () => {
  const { foundBy, smallest } = await hunt(named("some key groups are dropped on restore"), 100, true);
  expect(foundBy).toBeGreaterThan(0);
  // Each fault that is left causes a restore, or brings about that one comes too late.
  expect(smallest?.faults).toBeGreaterThan(0);
  expect(smallest?.faults).toBeLessThan(5);
  expect(smallest?.story.join("\n")).toContain("restore.state");
});
