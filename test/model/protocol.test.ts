/** The real machines keep every invariant within the brief bounds; every rule taken out breaks one. */
import { afterAll, describe, expect, test } from "vitest";
import { seededBugs } from "./bugs/all.ts";
import { explore, hunt, storyOf } from "./protocol/explore.ts";
import { brief } from "./protocol/scenarios.ts";

const EXPLORED_MIN = 100_000;

describe("the protocol holds", () => {
  let states = 0;

  test.each(brief)("$name: $about", (scenario) => {
    const { result } = explore(scenario);
    expect(result.violation && storyOf(result.violation)).toBeUndefined();
    expect(result.cutOff).toBe(false);
    states += result.states;
  });

  afterAll(() => expect(states).toBeGreaterThan(EXPLORED_MIN));
});

describe("a seeded bug is found", () => {
  test.each(seededBugs)("$name ($rule)", (bug) => {
    expect(hunt(bug).result.violation?.invariant).toBe(bug.foundBy);
  });

  test("that tells a completion before it is decided, and how is told as a story", () => {
    const early = seededBugs.find(({ name }) => name === "commit-before-decision")!;
    const story = storyOf(hunt(early).result.violation!).split("\n");
    expect(story[0]).toBe(
      "C2 completion is told after the decision is broken: A tells that checkpoint 1 is completed, and it is not decided",
    );
    expect(story.slice(-2)).toEqual([
      "  ! send X checkpoint.completed generation=1 checkpointId=1",
      "  ! send record A4 over revision 4: token 1, generation 1, running, checkpoints [1]",
    ]);
  });
});
