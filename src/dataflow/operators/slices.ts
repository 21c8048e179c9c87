/** Work in slices (`Slices` of contract.ts). */
import type { Slices } from "./contract.ts";

/** There is nothing to do. */
export const noSlices: Slices = { step: () => false };

/** Work that is one slice. */
export function oneSlice(act: () => void): Slices {
  let isDone = false;
  return {
    step() {
      if (isDone) return false;
      isDone = true;
      act();
      return true;
    },
  };
}

/** Does the next slices in one go, at most `most`. Answers how many; 0: nothing is left. */
export function doSome(slices: Slices, most: number): number {
  if (slices.several !== undefined) return slices.several(most);
  return slices.step() ? 1 : 0;
}

/** The same work. `done` is called when nothing of it is left. */
export function withEnd(slices: Slices, done: () => void): Slices {
  const several = (most: number): number => {
    const count = doSome(slices, most);
    if (count === 0) done();
    return count;
  };
  return { step: () => several(1) > 0, several };
}
