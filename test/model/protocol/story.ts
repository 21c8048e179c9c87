/** Short forms of the modelled processes for the story of a counterexample. */
import type { CompositionState } from "../composition.ts";
import { leaves } from "../pure-machine.ts";

/** The states of the real machines alone; those of the model's own actors say nothing to a reader. */
export function showActors(prefixes: readonly string[]): (state: CompositionState) => string {
  return ({ actors }) => {
    const shown = [...actors].filter(([actor]) => prefixes.some((prefix) => actor.startsWith(prefix)));
    return `[${shown.map(([actor, { snapshot }]) => `${actor} ${leaves(snapshot).join("+")}`).join(", ")}]`;
  };
}
