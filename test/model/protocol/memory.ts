/**
 * Plain data of a modelled process, kept in an actor beside the real machines: what their host holds in variables.
 *
 * An update is taken in its turn like every told event, so that it is ordered with what the machines do.
 */
import { type AnyStateMachine, assign, setup } from "xstate";
import { declareEffects } from "../../../machines/effects.ts";
import type { CompositionState } from "../composition.ts";
import type { ProcessOutcome } from "../machine-process.ts";
import type { Event } from "../process.ts";

export const MEMORY = "memory";

interface Changed<Data> {
  readonly type: "memory.changed";
  readonly update: (data: Data) => Partial<Data>;
}

/** An event on its way to an actor, once more looked at by the host when its turn comes. */
interface Passed {
  readonly type: "memory.passed";
  readonly actor: string;
  readonly told: Event;
}

export const memoryMachine: AnyStateMachine = setup({
  types: {} as { context: object; input: object; events: Changed<object> | Passed },
  actions: {
    ...declareEffects<{ "pass.event": Pick<Passed, "actor" | "told"> }>({ "pass.event": true }),
    change: assign(({ context, event }) => (event.type === "memory.changed" ? event.update(context) : {})),
  },
}).createMachine({
  id: "memory",
  options: { maxIterations: 5 },
  context: ({ input }) => ({ ...input }),
  initial: "open",
  states: {
    open: {
      on: {
        "memory.changed": { actions: "change" },
        "memory.passed": {
          actions: { type: "pass.event", params: ({ event }) => ({ actor: event.actor, told: event.told }) },
        },
      },
    },
  },
});

export function memoryOf<Data>(state: CompositionState): Data {
  return state.actors.get(MEMORY)!.snapshot.context as Data;
}

export function changed<Data>(update: (data: Data) => Partial<Data>): {
  readonly actor: string;
  readonly event: Changed<Data>;
} {
  return { actor: MEMORY, event: { type: "memory.changed", update } };
}

export function passed(actor: string, told: Event): { readonly actor: string; readonly event: Passed } {
  return { actor: MEMORY, event: { type: "memory.passed", actor, told } };
}

/** The same as an outcome of an effect: it comes right after the effects of the present transition. */
export function change<Data>(update: (data: Data) => Partial<Data>): ProcessOutcome {
  return { kind: "tell", first: true, ...changed(update) };
}
