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
