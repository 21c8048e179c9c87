/** What the simulation would find. `npm run simulate` hunts every mutation. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hunt, mutate } from "./hunt.ts";
import { MUTATIONS } from "./mutations.ts";

const HUNTED = ["a gap in a channel is not noticed", "some key groups are dropped on restore"];

test.each(MUTATIONS)("the mutation fits its file: $name", (mutation) => {
  const text = readFileSync(mutation.file, "utf8");
  expect(mutate(text, mutation)).not.toBe(text);
});

test.each(MUTATIONS.filter(({ name }) => HUNTED.includes(name)))("is found: $name", async (mutation) => {
  const { foundBy, findings } = await hunt(mutation, 100);
  expect(foundBy).toBeGreaterThan(0);
  expect(findings).toEqual(expect.arrayContaining([expect.stringContaining("came")]));
});
