/** What of a user's machine can be refused before anything runs; each refusal names the state. */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import { show } from "../../config/quantity.ts";
import { REFUSED_ACTIONS } from "../../dataflow/operators/machines/pure-machine.ts";
import { ConfigurationError } from "../../errors.ts";
import { refusalIn } from "../../state/plain-value.ts";

/** An action as XState keeps it: a name, an object with a name, or one of XState's own, which are functions. */
type Action =
  | string
  | { readonly type: string; readonly delay?: unknown; readonly resolve?: unknown }
  | (((...values: unknown[]) => unknown) & {
      readonly type?: string;
      readonly delay?: unknown;
      readonly resolve?: unknown;
    });

type Guard = string | { readonly type?: string; readonly guards?: readonly Guard[] } | undefined;

export function checkMachine(id: string, machine: unknown): asserts machine is AnyStateMachine {
  const { root, transition, getInitialSnapshot } = (machine ?? {}) as Partial<AnyStateMachine>;
  const isMachine =
    typeof root === "object" && typeof transition === "function" && typeof getInitialSnapshot === "function";
  if (!isMachine)
    refuse(
      id,
      `machine must be made by XState 5: setup({ ... }).createMachine({ ... }), got ${show(machine)}`,
    );
  const checked = machine as AnyStateMachine;
  for (const node of statesOf(checked)) checkState(id, node);
  const { context } = checked.config as { readonly context?: unknown };
  if (typeof context === "function") return;
  const refusal = refusalIn(context);
  if (refusal !== undefined) refuse(id, `the context of its machine cannot be stored: ${refusal}`);
}

/** An actor may have to wait for a time, as far as that can be seen. */
export function hasDelays(machine: AnyStateMachine): boolean {
  return statesOf(machine).some(
    (node) => node.after.length > 0 || actionsOf(node).some((action) => isDelayed(machine, action)),
  );
}

/** What it does can only be seen when it runs, so it may have delays, too. */
export function hidesActions(machine: AnyStateMachine): boolean {
  return statesOf(machine).some((node) =>
    actionsOf(node).some((action) => {
      const resolved = implementationOf(machine, action);
      return typeof resolved === "function" && resolved.type === "xstate.enqueueActions";
    }),
  );
}

/** All states, the root first. */
export function statesOf({ root }: AnyStateMachine): AnyStateNode[] {
  const all = [root as AnyStateNode];
  for (const node of all) all.push(...Object.values(node.states));
  return all;
}

function isDelayed(machine: AnyStateMachine, action: Action): boolean {
  const resolved = implementationOf(machine, action);
  if (resolved === undefined || typeof resolved === "string") return false;
  return resolved.type === "xstate.raise" && resolved.delay !== undefined;
}

function checkState(id: string, node: AnyStateNode): void {
  const { machine } = node;
  const where = `state "${node.id}" of its machine`;
  const [invoked] = node.invoke;
  if (invoked !== undefined)
    refuse(
      id,
      `${where} invokes "${invoked.src}", and an actor that is keyed state makes no requests: put async() in front of the ` +
        "operator or behind it, and give the answer to the actor as an event",
    );
  for (const action of actionsOf(node)) checkAction(id, where, machine, action);
  for (const { guard } of transitionsOf(node)) checkGuard(id, where, machine, guard as Guard);
  for (const { delay } of node.after) checkDelay(id, where, machine, delay);
}

function checkAction(id: string, where: string, machine: AnyStateMachine, action: Action): void {
  const resolved = implementationOf(machine, action);
  if (resolved === undefined || typeof resolved === "string") return;
  const refusal = REFUSED_ACTIONS[resolved.type ?? ""];
  if (refusal !== undefined) refuse(id, `${where} uses ${refusal}`);
  if (resolved.resolve === undefined) {
    if (typeof action !== "function") return;
    refuse(
      id,
      `${where} has an action that is a function${action.name === "" ? "" : ` (${action.name})`}. It would run again ` +
        "after a failure: give it a name in setup({ actions }), by which it leaves the operator as a record",
    );
  }
  if (resolved.type === "xstate.raise") checkDelay(id, where, machine, resolved.delay);
}

/** A delay that is not defined would be taken for none. */
function checkDelay(id: string, where: string, machine: AnyStateMachine, delay: unknown): void {
  if (typeof delay !== "string" || Object.hasOwn(machine.implementations.delays, delay)) return;
  refuse(id, `${where} waits for delay "${delay}", which is not defined: give it in setup({ delays })`);
}

function checkGuard(id: string, where: string, machine: AnyStateMachine, guard: Guard): void {
  const name = typeof guard === "object" ? guard.type : guard;
  if (typeof guard === "function") {
    const { guards = [] } = guard as unknown as { readonly guards?: readonly Guard[] };
    for (const inner of guards) checkGuard(id, where, machine, inner);
  } else if (typeof name === "string" && !Object.hasOwn(machine.implementations.guards, name))
    refuse(id, `${where} asks guard "${name}", which is not defined: give it in setup({ guards })`);
}

/** The action that a name stands for; undefined: it stands for nothing but itself. */
function implementationOf(machine: AnyStateMachine, action: Action): Exclude<Action, string> | undefined {
  if (typeof action === "function") return action;
  const name = typeof action === "string" ? action : action.type;
  const { actions } = machine.implementations;
  return Object.hasOwn(actions, name) ? (actions[name] as Exclude<Action, string>) : undefined;
}

function transitionsOf(node: AnyStateNode) {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
}

function actionsOf(node: AnyStateNode): readonly Action[] {
  const all: unknown[] = [
    ...node.entry,
    ...node.exit,
    ...transitionsOf(node).flatMap(({ actions }) => actions),
    ...(node.type === "compound" ? node.initial.actions : []),
  ];
  return all as Action[];
}

function refuse(id: string, why: string): never {
  throw new ConfigurationError(id, `operator "${id}": ${why}`);
}
