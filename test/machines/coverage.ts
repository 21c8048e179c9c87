/** Which states and transitions of the machines were ever visited, by traces or by the model checker. */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate";
import { guardName } from "../diagrams/describe.ts";
import type { ActorStep } from "../model/composition.ts";
import { leaves } from "../model/pure-machine.ts";
import { nodesOf, transitionsOf } from "./lint.ts";

export interface Gaps {
  readonly states: readonly string[];
  readonly edges: readonly string[];
}

export class Coverage {
  /** The transitions that were taken, by machine id: a machine with replaced guards counts as the machine itself. */
  private readonly visited = new Map<string, Set<string>>();
  private readonly unhandled = new Set<string>();

  /** Give it to `goldenTrace` or, as `(step) => coverage.add(step)`, to `composeProcess`. */
  add({ machine, event, step, before }: ActorStep): void {
    const visited = this.visitedOf(machine);
    for (const state of step.visited) visited.add(state);
    for (const transition of step.taken) visited.add(edgeName(transition));
    if (!step.handled && event && before)
      this.unhandled.add(`${machine.id}.${leaves(before).join("+")}: ${event.type}`);
  }

  gaps(machine: AnyStateMachine): Gaps {
    const visited = this.visitedOf(machine);
    const nodes = nodesOf(machine.root);
    return {
      states: nodes.map(({ id }) => id).filter((id) => !visited.has(id)),
      edges: nodes
        .flatMap(transitionsOf)
        .map(edgeName)
        .filter((edge) => !visited.has(edge)),
    };
  }

  /** `<machine>.<state>: <event>` for every event that no transition answered. */
  get unhandledEvents(): readonly string[] {
    return [...this.unhandled].sort();
  }

  private visitedOf(machine: AnyStateMachine): Set<string> {
    const known = this.visited.get(machine.id) ?? new Set();
    this.visited.set(machine.id, known);
    return known;
  }
}

/** `checkpoint.preparing on subtask.acknowledged [all]`; a second transition of the same name gets a number. */
function edgeName(transition: AnyTransitionDefinition): string {
  const source = transition.source as AnyStateNode;
  const siblings = transitionsOf(source).filter((other) => baseName(other) === baseName(transition));
  const place = siblings.indexOf(transition);
  return place > 0 ? `${baseName(transition)} #${place + 1}` : baseName(transition);
}

function baseName({ source, eventType, guard }: AnyTransitionDefinition): string {
  const name = guardName(guard);
  return `${source.id} ${eventType === "" ? "always" : `on ${eventType}`}${name === undefined ? "" : ` [${name}]`}`;
}
