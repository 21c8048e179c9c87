/** Work in slices (`Slices` of contract.ts). */
import type { Slices } from "./contract.ts";

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
