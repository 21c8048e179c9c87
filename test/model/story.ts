/** A counterexample as a story: replays its actions and tells each event, change of state and effect in one line. */
import { type Action, type Actions, DOWN } from "./actions.ts";
import { GlobalState } from "./checker/global-state.ts";
import { canonical } from "./checker/interner.ts";
import type { Effect, Event, ProcessModel } from "./process.ts";

export function tell(actions: Actions, path: readonly Action[]): string[] {
  const state = new GlobalState(actions);
  state.reset();
  return path.flatMap((action) => {
    const before = localText(actions, action.owner, state.localNumber(action.owner));
    state.apply(action);
    const after = localText(actions, action.owner, action.next);
    const model = actions.processes[action.owner]!;
    return [`${headline(model, action)}   ${change(before, after)}`, ...action.effects.map(effectLine)];
  });
}

function headline(model: ProcessModel, { process, kind, event, note }: Action): string {
  const what = event && (model.showEvent?.(event) ?? showFields(event));
  return [`${process} ${kind}`, what, note && `(${note})`].filter(Boolean).join(" ");
}

function localText(actions: Actions, owner: number, local: number): string {
  if (local === DOWN) return "down";
  const model = actions.processes[owner]!;
  return model.show?.(actions.locals[owner]!.values[local]) ?? "up";
}

function change(before: string, after: string): string {
  return before === after ? before : `${before} -> ${after}`;
}

function effectLine(effect: Effect): string {
  if (effect.kind === "send") return `  ! send ${effect.to} ${showFields(effect.message)}`;
  return `  ! store ${"update" in effect ? effect.note : canonical(effect.patch)}`;
}

/** `checkpoint.aborted checkpointId=7 reason="expired"` */
export function showFields({ type, ...fields }: Event): string {
  return [type, ...Object.entries(fields).map(([name, value]) => `${name}=${canonical(value)}`)].join(" ");
}
