/**
 * The golden traces of one machine: each scenario becomes a file of `traces/`, and together they must visit every state
 * and take every transition.
 *
 * A trace changes only with the protocol: update one (`vitest -u`) only if you can say why.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { AnyStateMachine } from "xstate";
import { Coverage } from "./coverage.ts";
import { nodesOf, transitionsOf } from "./lint.ts";
import { goldenTrace, type Scenario } from "./trace.ts";

export interface TracesOfMachine {
  readonly machine: AnyStateMachine;
  /** File name without `<machine>.` and `.txt`. */
  readonly scenarios: Readonly<Record<string, Scenario>>;
  /** Edges that no host can make the machine take, each with the reason why it is drawn nevertheless. */
  readonly unreachable?: Readonly<Record<string, string>>;
  /** Events of the traces that no transition answers, as `<machine>.<state>: <event>`: they change nothing. */
  readonly unhandled?: readonly string[];
}

export function describeTraces({
  machine,
  scenarios,
  unreachable = {},
  unhandled = [],
}: TracesOfMachine): void {
  describe(`golden traces of ${machine.id}`, () => {
    const coverage = new Coverage();

    test.each(Object.entries(scenarios))("%s", async (name, scenario) => {
      const trace = goldenTrace(scenario, coverage);
      await expect(trace).toMatchFileSnapshot(traceFile(`${machine.id}.${name}`));
    });

    test("take every edge and visit every state", () => {
      const gaps = coverage.gaps(machine);
      expect(gaps).toEqual({ states: [], edges: Object.keys(unreachable) });
      const edges = nodesOf(machine.root).flatMap(transitionsOf).length;
      expect(edges).toBeGreaterThan(0);
    });

    test("meet no event that the machine does not answer, but these", () => {
      const own = coverage.unhandledEvents.filter((one) => one.startsWith(`${machine.id}.`));
      expect(own).toEqual([...unhandled].sort());
    });
  });
}

/** The golden trace of a story that several machines tell together; what it covers counts for none of them. */
export async function expectStory(name: string, scenario: Scenario): Promise<void> {
  await expect(goldenTrace(scenario)).toMatchFileSnapshot(traceFile(name));
}

function traceFile(name: string): string {
  return fileURLToPath(new URL(`traces/${name}.txt`, import.meta.url));
}
