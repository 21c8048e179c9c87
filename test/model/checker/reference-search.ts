/**
 * The same search as plainly as it can be written: whole states as text, no numbers, no memo, no fingerprints.
 *
 * Only for comparing counts: it knows repeatable messages and the budget `crashes`, and nothing else.
 */

import type { Effect, Event, ProcessModel, Step } from "../process.ts";
import { canonical } from "./interner.ts";

interface Row {
  /** undefined: down. */
  readonly locals: readonly unknown[];
  readonly durables: readonly unknown[];
  readonly sent: ReadonlyMap<string, { readonly to: string; readonly message: Event }>;
  readonly crashes: number;
}

export function countStates(processes: readonly ProcessModel[], crashes: number): number {
  const first: Row = {
    locals: processes.map(() => undefined),
    durables: processes.map(({ durable }) => durable),
    sent: new Map(),
    crashes,
  };
  const seen = new Set([keyOf(processes, first)]);
  const queue = [first];
  for (let row = queue.pop(); row !== undefined; row = queue.pop()) {
    for (const next of successors(processes, row)) {
      const key = keyOf(processes, next);
      if (seen.has(key)) continue;
      seen.add(key);
      queue.push(next);
    }
  }
  return seen.size;
}

function successors(processes: readonly ProcessModel[], row: Row): Row[] {
  return processes.flatMap((process, index) => {
    const local = row.locals[index];
    const taken = (steps: readonly Step<unknown>[]) => steps.flatMap((step) => outcomes(row, index, step));
    if (local === undefined) return taken(process.boot(row.durables[index]));
    const received = [...row.sent.values()]
      .filter(({ to }) => to === process.id)
      .map(({ message }) => message);
    const events = [...(process.environment?.(local) ?? []), ...received];
    return [...crashed(row, index), ...events.flatMap((event) => taken(process.step(local, event)))];
  });
}

function outcomes(row: Row, index: number, { state, effects }: Step<unknown>): Row[] {
  const whole = effects.reduce((before, effect) => perform(before, index, effect), row);
  const cuts = effects.map((_, done) =>
    effects.slice(0, done).reduce((before, effect) => perform(before, index, effect), row),
  );
  return [
    { ...whole, locals: whole.locals.with(index, state) },
    ...cuts.flatMap((cut) => crashed(cut, index)),
  ];
}

function crashed(row: Row, index: number): Row[] {
  return row.crashes === 0
    ? []
    : [{ ...row, locals: row.locals.with(index, undefined), crashes: row.crashes - 1 }];
}

function perform(row: Row, index: number, effect: Effect): Row {
  if (effect.kind === "send")
    return { ...row, sent: new Map(row.sent).set(canonical([effect.to, effect.message]), effect) };
  if ("update" in effect) throw new Error("not in the reference");
  return {
    ...row,
    durables: row.durables.with(index, { ...(row.durables[index] as object), ...effect.patch }),
  };
}

function keyOf(processes: readonly ProcessModel[], { locals, durables, sent, crashes }: Row): string {
  const shown = locals.map((local, index) => (local === undefined ? "down" : processes[index]!.key(local)));
  return canonical([shown, durables, [...sent.keys()].sort(), crashes]);
}
