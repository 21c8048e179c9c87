/**
 * Explicit-state model checker for processes that share nothing but an asynchronous network.
 *
 * Explores every order of: booting, receiving any message in flight (again), environment events, crashing at any time
 * and between any two effects of one step, and booting again from the durable state. It reports a shortest run that
 * breaks an invariant, as a story.
 *
 * MC1  A message, once sent, may arrive any number of times, in any order, or never, unless it is sent `once`.
 * MC2  The effects of a step happen in order and atomically, except that a crash may cut them short anywhere.
 * MC3  A crash loses the local state and the `volatile` messages to the process; the durable state stays.
 * MC4  A search that ends early says so (`cutOff`); only then may a violation have been missed, apart from the
 *     collision of two 64-bit fingerprints (fingerprints.ts).
 *
 * Not modelled: a durable store that loses what it has acknowledged, fairness, real time.
 */
import type { ProcessModel, StepTaken, View } from "../process.ts";
import { tell } from "../story.ts";
import { Search } from "./search.ts";

/** Answers with the reason why a state is wrong. */
export type Invariant = (view: View) => string | undefined;
/** Looks at the state before a step, the state after it, and the effects in between. */
export type StepInvariant = (before: View, after: View, step: StepTaken) => string | undefined;

export interface CheckOptions {
  readonly processes: readonly ProcessModel[];
  /**
   * How often costly things may happen. `crashes` is shared by all processes (default: none crash), `crashes.<id>`
   * limits one process further; other names are those that `ProcessModel.cost` gives to environment events.
   */
  readonly budgets?: Readonly<Record<string, number>>;
  /** The invariants by name. They must depend on the View alone: each is asked once for each different view. */
  readonly invariants: Readonly<Record<string, Invariant>>;
  readonly stepInvariants?: Readonly<Record<string, StepInvariant>>;
  /** A state that satisfies the goal must stay reachable from every reachable state. Checked only without a cut-off. */
  readonly goal?: (view: View) => boolean;
  /** Default 5,000,000. */
  readonly maxStates?: number;
}

export interface Violation {
  readonly invariant: string;
  readonly reason: string;
  /** The run that leads to it, one line for an event or effect. */
  readonly trace: readonly string[];
}

export interface CheckResult {
  readonly states: number;
  readonly edges: number;
  readonly depth: number;
  readonly seconds: number;
  /** The limit was reached: the rest is unexplored. */
  readonly cutOff: boolean;
  /** Different local states of all processes, messages, and calls of the processes' own functions. */
  readonly localStates: number;
  readonly messages: number;
  readonly modelCalls: number;
  readonly violation?: Violation;
}

export function check(options: CheckOptions): CheckResult {
  const started = performance.now();
  const search = new Search(options);
  search.run();
  const { actions, finding } = search;
  return {
    states: search.states,
    edges: search.edges,
    depth: search.depth,
    seconds: (performance.now() - started) / 1000,
    cutOff: search.cutOff,
    localStates: actions.locals.reduce((sum, { values }) => sum + values.length - 1, 0),
    messages: actions.messages.values.length,
    modelCalls: actions.modelCalls,
    ...(finding && {
      violation: { invariant: finding.invariant, reason: finding.reason, trace: tell(actions, finding.path) },
    }),
  };
}

/** One line for a log or a test's failure. */
export function summary({ states, edges, depth, seconds, cutOff, violation }: CheckResult): string {
  const speed = Math.round(states / seconds);
  const verdict = violation
    ? `VIOLATED ${violation.invariant}: ${violation.reason}`
    : cutOff
      ? "cut off"
      : "holds";
  return `${verdict}; ${states} states, ${edges} edges, depth ${depth}, ${seconds.toFixed(2)} s, ${speed} states/s`;
}
