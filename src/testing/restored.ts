/** Whether a harness may go on from a snapshot: what a restore of the job would refuse is refused, in its words. */
import type { GraphPlan, OperatorPlan } from "../../machines/protocol.ts";
import { ConfigurationError } from "../errors.ts";
import { operatorsOf } from "../job/plan.ts";
import { differences, isOfUsers } from "../job/restore/restore-plan.ts";
import { newForms, withForm } from "../job/restore/state-versions.ts";
import { isDroppedWindow, type WindowMigration } from "../job/restore/window-migrations.ts";
import type { StoredVertex } from "./vertex-run.ts";

interface Stored {
  readonly plan: GraphPlan;
  readonly vertices: Readonly<Record<string, StoredVertex>>;
}

/** @throws ConfigurationError when an operator of the job cannot take its state */
export function checkRestore(
  { plan, vertices }: Stored,
  to: GraphPlan,
  migrations: ReadonlyMap<string, WindowMigration>,
): void {
  const stored = Object.values(vertices).flatMap(({ states, operatorStates }) => [
    ...states.map(({ bytes, ...address }) => ({ ...address, isKeyed: true, isFilled: bytes.byteLength > 0 })),
    ...operatorStates.map(({ operator, state, version, entries }) => ({
      ...{ operator, state, version },
      ...{ isKeyed: false, isFilled: entries.length > 0 },
    })),
  ]);
  const before = new Map(operatorsOf(plan).map((operator) => [operator.id, operator]));
  for (const operator of operatorsOf(to)) {
    const { id } = operator;
    const old = before.get(id);
    const own = stored.filter(
      ({ operator, state, isKeyed }) =>
        operator === id &&
        // Operators have state without key of their own beside what is declared.
        (isKeyed ? isOfUsers(state) : old?.operatorStates?.[state] !== undefined) &&
        !isDroppedWindow({ kind: "keyed", operator, state }, migrations),
    );
    if (old === undefined || own.length === 0) continue;
    const migration = migrations.get(id);
    const found = {
      states: own.map(({ state }) => state),
      filled: new Set(own.filter(({ isFilled }) => isFilled).map(({ state }) => state)),
      forms: new Map(
        own
          .filter(({ isFilled }) => isFilled)
          .map(({ state, version }) => [state, withForm(newForms(), { version })] as const),
      ),
    };
    const [problem] = [
      ...(migration?.problems ?? []),
      ...differences(id, inOneSubtask(old), inOneSubtask(operator), found, migration),
    ];
    if (problem !== undefined) throw new ConfigurationError("restore", `restore: ${problem}`);
  }
}

/** All operators of a harness have one. */
const inOneSubtask = (operator: OperatorPlan) => ({ operator, parallelism: 1 });
