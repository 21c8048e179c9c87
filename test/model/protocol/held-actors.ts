/**
 * Actors that wait for the store (H2): messages come later, what siblings tell them is kept until the answer has come.
 */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import { nodesOf } from "../../machines/lint.ts";
import type { ActorStep, CompositionState } from "../composition.ts";
import type { Event } from "../process.ts";
import { leaves } from "../pure-machine.ts";
import type { Memory } from "./leader/coordinator-memory.ts";
import { WRITER } from "./leader/records/record-writer.ts";
import { changed, MEMORY, memoryOf, passed } from "./memory.ts";

export interface ToActor {
  readonly actor: string;
  readonly event: Event;
}

const waiting = new WeakMap<AnyStateMachine, ReadonlySet<string>>();

/**
 * The states of a machine whose entry orders something to be stored: there its actor is held until the answer has
 * come.
 */
function heldStates(machine: AnyStateMachine): ReadonlySet<string> {
  const known =
    waiting.get(machine) ??
    new Set(
      nodesOf(machine.root)
        .filter(stores)
        .map(({ path }) => path.join(".")),
    );
  waiting.set(machine, known);
  return known;
}

const stores = ({ entry }: AnyStateNode): boolean =>
  entry.some((action) => String((action as { type?: unknown }).type ?? action).startsWith("store."));

export function checkpointsIn({ actors }: CompositionState): string[] {
  return [...actors.keys()].filter((actor) => actor.startsWith("checkpoint/"));
}

export function isHeld({ actors }: CompositionState, actor: string): boolean {
  const known = actors.get(actor);
  if (known === undefined || actor === WRITER || actor === MEMORY) return false;
  const held = heldStates(known.machine);
  return leaves(known.snapshot).some((leaf) => held.has(leaf));
}

export function letterFor(state: CompositionState, actor: string, event: Event): ToActor {
  if (!isHeld(state, actor)) return { actor, event };
  return changed<Memory>(({ deferred }) => ({
    deferred: { ...deferred, [actor]: [...(deferred[actor] ?? []), event] },
  }));
}

/** The answer, then what it was told meanwhile; that waits again if the answer makes the actor wait again. */
export function wakeLetters(state: CompositionState, actor: string, event: Event): ToActor[] {
  const kept = memoryOf<Memory>(state).deferred[actor] ?? [];
  if (kept.length === 0) return [{ actor, event }];
  const forget = changed<Memory>(({ deferred }) => {
    const { [actor]: _, ...rest } = deferred;
    return { deferred: rest };
  });
  return [{ actor, event }, forget, ...kept.map((told) => passed(actor, told))];
}

/** Answers, and what has no meaning any more to an actor that has gone on to wait for a store. */
const TAKEN_WHILE_WAITING = [
  "record.stored",
  "record.refused",
  "record.lost",
  "manifest.stored",
  "manifest.refused",
  "savepoint.stored",
  "savepoint.refused",
  "timer.fired",
  "recovery.planned",
  "slots.available",
];

/** The model itself must keep H2. */
export function assertHeld({ actor, machine, before, event }: ActorStep): void {
  if (before === undefined || event === undefined || machine.id === "writer" || machine.id === "memory")
    return;
  if (
    TAKEN_WHILE_WAITING.includes(event.type) ||
    !leaves(before).some((leaf) => heldStates(machine).has(leaf))
  )
    return;
  throw new Error(`${actor} took ${event.type} while it waited for its store`);
}
