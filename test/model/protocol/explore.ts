/** Runs scenarios and seeded bugs, and says what came of them. */
import type { SeededBug } from "../bugs/seeded.ts";
import type { CheckResult, Violation } from "../checker/checker.ts";
import { checkProtocol } from "./model.ts";
import type { Scenario } from "./scenarios.ts";
import { readable } from "./story.ts";
import { checkAlignment } from "./worker/alignment.ts";

/** Far above what the scenarios need: one that reaches it is reported as cut off. */
const STATES_MAX = 20_000_000;

export interface ScenarioResult {
  readonly scenario: Scenario;
  readonly result: CheckResult;
}

export interface BugResult {
  readonly bug: SeededBug;
  readonly result: CheckResult;
  readonly found: boolean;
}

export function explore(scenario: Scenario): ScenarioResult {
  return { scenario, result: checkScenario(scenario) };
}

function checkScenario({ bounds }: Scenario): CheckResult {
  const more = { maxStates: STATES_MAX };
  return "channels" in bounds
    ? checkAlignment(bounds, undefined, more)
    : checkProtocol(bounds, undefined, more);
}

export function hunt(bug: SeededBug): BugResult {
  const result = bug.check({ maxStates: STATES_MAX });
  return { bug, result, found: result.violation?.invariant === bug.foundBy };
}

export function storyOf({ invariant, reason, trace }: Violation): string {
  return [`${invariant} is broken: ${reason}`, ...readable(trace)].join("\n");
}
