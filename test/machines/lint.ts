/**
 * What a machine may consist of. A machine that breaks one of these rules cannot be checked, drawn or
 * restored.
 */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate";

export const RULES = {
  "inline-action": "an action has a name and is declared in setup()",
  "inline-guard": "a guard has a name and is declared in setup()",
  "undeclared-action": "an action that setup() does not declare is skipped in silence",
  "undeclared-guard": "a guard that setup() does not declare throws when it is asked",
  "built-in-action": "of XState's own actions only assign() is pure; others start, stop or tell actors",
  "effect-body": "an effect is only a name; the host does it",
  "effect-name": "an effect is an order: verb.noun",
  "assign-name": "a change of context has a plain name, so that it is not taken for an effect",
  "event-name": "an event is a fact: noun.verbed, or what became of the noun: lease.unknown",
  invoke: "an invoked actor cannot be restored",
  after: "a delayed transition is lost by a restart: use an effect and an event",
  wildcard: "a wildcard also takes what its author did not think of",
  "max-iterations": "without options.maxIterations a cycle of `always` hangs the process",
  description: "a reader of the diagram wants to know what the state means",
} as const;

export type Rule = keyof typeof RULES;

export interface LintFinding {
  readonly rule: Rule;
  /** State, and event of the transition. */
  readonly where: string;
  readonly what: string;
}

/** Words that tell a fact, besides those that end like one. */
const FACTS = new Set(
  (
    "begun broke broken built cut done drawn due found gone held heard idle kept known left lost made met overdue put read " +
    "ready run seen sent set shut taken told torn unknown unseen won written"
  ).split(" "),
);

export function lint(machine: AnyStateMachine): LintFinding[] {
  const findings = [
    ...lintMachine(machine),
    ...declaredActions(machine),
    ...nodesOf(machine.root).flatMap((node) => lintState(machine, node)),
  ];
  return findings.filter((finding, index) => findings.findIndex((other) => same(other, finding)) === index);
}

export function nodesOf(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states as Record<string, AnyStateNode>).flatMap(nodesOf)];
}

/** All transitions that leave or stay in the state, `always` last. */
export function transitionsOf(node: AnyStateNode): AnyTransitionDefinition[] {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
}

function lintMachine(machine: AnyStateMachine): LintFinding[] {
  const { maxIterations } = machine.options;
  return Number.isFinite(maxIterations)
    ? []
    : [{ rule: "max-iterations", where: machine.id, what: String(maxIterations) }];
}

function declaredActions(machine: AnyStateMachine): LintFinding[] {
  return Object.entries(machine.implementations.actions).flatMap(([name, body]) =>
    lintDeclaredAction(machine.id, name, body),
  );
}

function lintDeclaredAction(where: string, name: string, body: unknown): LintFinding[] {
  const builtIn = builtInName(body);
  if (builtIn === "assign") return name.includes(".") ? [{ rule: "assign-name", where, what: name }] : [];
  if (builtIn !== undefined) return [{ rule: "built-in-action", where, what: `${name} is ${builtIn}()` }];
  const findings: LintFinding[] = [];
  if (!isEffectName(name)) findings.push({ rule: "effect-name", where, what: name });
  if (!/\{\s*\}$/.test(String(body))) findings.push({ rule: "effect-body", where, what: name });
  return findings;
}

function lintState(machine: AnyStateMachine, node: AnyStateNode): LintFinding[] {
  const where = node.id;
  const findings = [...node.entry, ...node.exit].flatMap((action) => lintAction(machine, where, action));
  if (node.invoke.length > 0)
    findings.push({ rule: "invoke", where, what: node.invoke.map(({ id }) => id).join() });
  if (node.after.length > 0)
    findings.push({ rule: "after", where, what: node.after.map(({ delay }) => delay).join() });
  if (needsDescription(node)) findings.push({ rule: "description", where, what: "no description" });
  return [
    ...findings,
    ...transitionsOf(node).flatMap((transition) => lintTransition(machine, node, transition)),
  ];
}

/** Inner states may speak for themselves, and so does the name of an end. */
function needsDescription(node: AnyStateNode): boolean {
  return node.path.length === 1 && node.type !== "final" && !node.description;
}

function lintTransition(
  machine: AnyStateMachine,
  node: AnyStateNode,
  transition: AnyTransitionDefinition,
): LintFinding[] {
  const { eventType } = transition;
  const where = eventType === "" ? `${node.id} always` : `${node.id} on ${eventType}`;
  const findings = transition.actions.flatMap((action) => lintAction(machine, where, action));
  if (eventType.includes("*")) findings.push({ rule: "wildcard", where, what: eventType });
  else if (!isEventName(eventType)) findings.push({ rule: "event-name", where, what: eventType });
  return [...findings, ...lintGuard(machine, where, transition.guard)];
}

function lintAction(machine: AnyStateMachine, where: string, action: unknown): LintFinding[] {
  const builtIn = builtInName(action);
  if (builtIn !== undefined && builtIn !== "assign")
    return [{ rule: "built-in-action", where, what: `${builtIn}()` }];
  const name = nameOf(action);
  if (name === undefined) return [{ rule: "inline-action", where, what: builtIn ?? "function" }];
  if (name in machine.implementations.actions) return [];
  return [{ rule: "undeclared-action", where, what: name }];
}

function lintGuard(machine: AnyStateMachine, where: string, guard: unknown): LintFinding[] {
  if (guard === undefined) return [];
  const parts = combined(guard);
  if (parts) return parts.flatMap((part) => lintGuard(machine, where, part));
  const name = nameOf(guard);
  if (name === undefined) return [{ rule: "inline-guard", where, what: "function" }];
  return name in machine.implementations.guards ? [] : [{ rule: "undeclared-guard", where, what: name }];
}

/** The guards inside and(), or(), not(); none inside stateIn(). */
function combined(guard: unknown): readonly unknown[] | undefined {
  if (typeof guard !== "function" || !("check" in guard)) return undefined;
  return "guards" in guard ? (guard.guards as unknown[]) : [];
}

function nameOf(reference: unknown): string | undefined {
  if (typeof reference === "string") return reference;
  return typeof reference === "object" && reference !== null && "type" in reference
    ? String(reference.type)
    : undefined;
}

function builtInName(action: unknown): string | undefined {
  if (typeof action !== "function" || !("type" in action)) return undefined;
  const type = String(action.type);
  return type.startsWith("xstate.") ? type.slice("xstate.".length) : undefined;
}

/** `timer.start` is the one order that begins with its noun. */
function isEffectName(name: string): boolean {
  const [verb = "", ...rest] = name.split(".");
  return rest.length === 1 && isWord(verb) && rest.every(isWord) && !/[^e]ed$/.test(verb);
}

/** `always` has no event; the end of a compound state is XState's own. */
function isEventName(event: string): boolean {
  if (event === "" || event.startsWith("xstate.")) return true;
  const words = event.split(".");
  return words.length >= 2 && words.every(isWord) && tellsFact(words.at(-1)!);
}

function isWord(text: string): boolean {
  return /^[a-z][a-zA-Z]*$/.test(text);
}

/** One word of `timedOut` does. */
function tellsFact(name: string): boolean {
  const words = name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
  return words.some((word) => FACTS.has(word) || /([^e]ed|ing|[ai]ble)$/.test(word));
}

function same(a: LintFinding, b: LintFinding): boolean {
  return a.rule === b.rule && a.where === b.where && a.what === b.what;
}
