/** What a diagram shows of a machine: one walk over its definition, in its own order. */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate";

export interface ActionLabel {
  readonly name: string;
  /** An order to the host; else a change of context. */
  readonly effect: boolean;
}

export interface TransitionLabel {
  /** "" for a transition that needs no event. */
  readonly event: string;
  readonly guard: string | undefined;
  readonly actions: readonly ActionLabel[];
  /** The state that it leads to, where no arrow does: an inner state of a compound one, or a state of another part. */
  readonly to?: string;
}

export interface DiagramEdge {
  readonly from: string;
  readonly to: string;
  /** All transitions between the two states. */
  readonly labels: readonly TransitionLabel[];
}

export interface DiagramState {
  /** `checkpoint.committing.trying`; the dashboard lights states by it. */
  readonly id: string;
  readonly name: string;
  readonly type: AnyStateNode["type"];
  readonly description: string | undefined;
  readonly entry: readonly ActionLabel[];
  readonly exit: readonly ActionLabel[];
  /** Transitions that do not leave the state, those to one of its inner states included. */
  readonly staying: readonly TransitionLabel[];
  readonly leaving: readonly DiagramEdge[];
  /** Child that is entered first. */
  readonly initial: string | undefined;
  readonly children: readonly DiagramState[];
}

export function describeMachine(machine: AnyStateMachine): DiagramState {
  return describeState(machine, machine.root);
}

/**
 * One part of a drawing: some of the inner states of `owner`, a machine or a state. Transitions to other states are
 * written into their boxes. What holds in all of `owner` is written into its first part.
 */
export function partOf(
  owner: DiagramState,
  title: string,
  states: readonly string[],
  isFirst: boolean,
): DiagramState {
  const children = owner.children.filter(({ name }) => states.includes(name));
  const inside = new Set(children.flatMap(idsIn));
  const { entry, exit, staying, leaving } = withoutArrowsOut({ ...owner, children }, inside);
  return {
    ...owner,
    ...(isFirst ? { entry, exit, staying } : { description: undefined, entry: [], exit: [], staying: [] }),
    name: `${owner.name}: ${title}`,
    leaving,
    initial: children.some(({ id }) => id === owner.initial) ? owner.initial : undefined,
    children: children.map((child) => withoutArrowsOut(child, inside)),
  };
}

function idsIn({ id, children }: DiagramState): string[] {
  return [id, ...children.flatMap(idsIn)];
}

function withoutArrowsOut(state: DiagramState, inside: ReadonlySet<string>): DiagramState {
  const out = state.leaving.filter(({ to }) => !inside.has(to));
  const written = out.flatMap(({ to, labels }) =>
    labels.map((label) => ({ ...label, to: to.slice(to.indexOf(".") + 1) })),
  );
  return {
    ...state,
    staying: [...state.staying, ...written],
    leaving: state.leaving.filter((edge) => !out.includes(edge)),
    children: state.children.map((child) => withoutArrowsOut(child, inside)),
  };
}

function describeState(machine: AnyStateMachine, node: AnyStateNode): DiagramState {
  const transitions = [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
  const label = (transition: AnyTransitionDefinition) => labelOf(machine, transition);
  return {
    id: node.id,
    name: node.key,
    type: node.type,
    description: node.description,
    entry: node.entry.map((action) => actionLabel(machine, action)),
    exit: node.exit.map((action) => actionLabel(machine, action)),
    staying: transitions.filter((transition) => staysIn(node, transition)).map(label),
    leaving: groupByTarget(
      machine,
      node,
      transitions.filter((transition) => !staysIn(node, transition)),
    ),
    initial: node.type === "compound" ? node.initial.target[0]?.id : undefined,
    children: Object.values(node.states as Record<string, AnyStateNode>).map((child) =>
      describeState(machine, child),
    ),
  };
}

function groupByTarget(
  machine: AnyStateMachine,
  node: AnyStateNode,
  transitions: readonly AnyTransitionDefinition[],
): DiagramEdge[] {
  const byTarget = new Map<string, TransitionLabel[]>();
  for (const transition of transitions) {
    const target = targetOf(transition).id;
    byTarget.set(target, [...(byTarget.get(target) ?? []), labelOf(machine, transition)]);
  }
  return [...byTarget].map(([to, labels]) => ({ from: node.id, to, labels }));
}

function targetOf({ target, source }: AnyTransitionDefinition): AnyStateNode {
  return target?.[0] ?? source;
}

function staysIn(node: AnyStateNode, transition: AnyTransitionDefinition): boolean {
  const target = targetOf(transition);
  return target === node || target.id.startsWith(`${node.id}.`);
}

function labelOf(machine: AnyStateMachine, transition: AnyTransitionDefinition): TransitionLabel {
  const { eventType, guard, actions, source } = transition;
  const target = targetOf(transition);
  return {
    event: eventType.startsWith("xstate.done.state.") ? "done" : eventType,
    guard: guardName(guard),
    actions: actions.map((action) => actionLabel(machine, action)),
    ...(target !== source && staysIn(source, transition) && { to: target.id.slice(source.id.length + 1) }),
  };
}

function actionLabel(machine: AnyStateMachine, action: unknown): ActionLabel {
  const name = referenceName(action) ?? "inline";
  const body: unknown = machine.implementations.actions[name];
  return { name, effect: typeof body !== "function" || !("type" in body) };
}

/** `and(current, allPrepared)` for a combination of named guards. */
export function guardName(guard: unknown): string | undefined {
  if (guard === undefined) return undefined;
  if (typeof guard !== "function") return referenceName(guard);
  const kind = "type" in guard ? String(guard.type).replace("xstate.", "") : guard.name || "inline";
  const parts = "guards" in guard ? (guard.guards as unknown[]) : [];
  return parts.length === 0 ? kind : `${kind}(${parts.map(guardName).join(", ")})`;
}

function referenceName(reference: unknown): string | undefined {
  if (typeof reference === "string") return reference;
  if (typeof reference === "object" && reference !== null && "type" in reference)
    return String(reference.type);
  return undefined;
}
