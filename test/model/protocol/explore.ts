/** Runs scenarios and seeded bugs, and says what came of them. */
import type { SeededBug } from "../bugs/seeded.ts";
import { type CheckResult, type Violation } from "../checker.ts";
import { checkProtocol } from "./model.ts";
import type { Scenario } from "./scenarios.ts";
import { readable } from "./story.ts";

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
  return { scenario, result: checkProtocol(scenario.bounds, undefined, { maxStates: STATES_MAX }) };
}

export function hunt(bug: SeededBug): BugResult {
  const result = checkProtocol(bug.bounds, bug.variant, { maxStates: STATES_MAX });
  return { bug, result, found: result.violation?.invariant === bug.foundBy };
}

export function storyOf({ invariant, reason, trace }: Violation): string {
  return [`${invariant} is broken: ${reason}`, ...readable(trace)].join("\n");
}
