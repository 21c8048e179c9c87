/**
 * The shape of a user's machine: what its stored actors depend on, and whether they fit another one.
 *
 * New states are taken as they come. One that is gone, or has become another, may be the state of a stored actor: that
 * needs a new version, and a `migrate` by the name of the old one (P85).
 */
import type { AnyStateMachine, AnyStateNode } from "xstate";
import type { ActorPlan, GraphPlan } from "../../../machines/protocol.ts";
import { statesOf } from "./checks.ts";

const AFTER = "xstate.after.";

/** One line for each state: `order.pending (after 1800000)`. */
export function machineStatesOf(machine: AnyStateMachine): string[] {
  return statesOf(machine)
    .filter(({ type }) => type !== "history")
    .map(describeState)
    .sort();
}

function describeState(node: AnyStateNode): string {
  const path = [node.machine.id, ...node.path].join(".");
  const delays = node.after.map(({ eventType }) => eventType.slice(AFTER.length, -node.id.length - 1));
  const facts = [
    ...(node.id === path ? [] : [`#${node.id}`]),
    ...(node.type === "atomic" ? [] : [node.type]),
    ...[...new Set(delays)].map((delay) => `after ${delay}`),
  ];
  return facts.length === 0 ? path : `${path} (${facts.join(", ")})`;
}

/** Why stored actors do not fit the machine: each without a subject, with what helps. Empty: they do. */
export function actorProblems(before: ActorPlan | undefined, after: ActorPlan | undefined): string[] {
  if (before === undefined || after === undefined) return [];
  // An actor is migrated with its next event, so those of older versions may still lie there.
  const unknown = [before.version, ...before.migrates].filter(
    (version) => version !== after.version && !after.migrates.includes(version),
  );
  if (unknown.length > 0)
    return unknown.map(
      (version) =>
        `has version "${after.version}" of its machine, and actors may be stored by version "${version}": give the operator ` +
        `migrate: { "${version}": ({ value, context }) => ... }`,
    );
  if (before.version !== after.version) return [];
  const gone = before.machineStates.filter((state) => !after.machineStates.includes(state));
  if (gone.length === 0) return [];
  return [
    `has no state ${gone.join(", nor ")} any more, and stored actors may be in it: give the operator another version than ` +
      `"${before.version}", and say with migrate: { "${before.version}": ({ value, context }) => ... } what becomes of them`,
  ];
}

/** The plan with machines and versions of states as they are now: of a job that goes on with code that fits them. */
export function withPresentVersions(plan: GraphPlan, now: GraphPlan): GraphPlan {
  const present = new Map(
    now.vertices.flatMap(({ operators }) => operators.map((operator) => [operator.id, operator] as const)),
  );
  return {
    ...plan,
    vertices: plan.vertices.map((vertex) => ({
      ...vertex,
      operators: vertex.operators.map((operator) => {
        const { actors, stateVersions } = present.get(operator.id) ?? {};
        const { stateVersions: _, ...rest } = operator;
        return { ...rest, ...(actors && { actors }), ...(stateVersions && { stateVersions }) };
      }),
    })),
  };
}
