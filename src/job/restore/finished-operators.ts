/**
 * Which operators of a restored job have finished, and whether those in front of them have, too (P46): pure functions.
 *
 * A finished subtask runs none of its operators any more: it passes on the end of its input, and ignores records. So
 * what is still to come from in front of it would be lost, and if it began anew, what it did at its end would be done
 * twice.
 *
 * The rules are those of Flink's VertexFinishedStateChecker, for each subtask instead of each vertex: operators that
 * are chained have finished together, and a subtask that sends records to a finished subtask has finished. An operator
 * that the state does not know, or whose state is dropped, has not.
 */

import { sendersOf } from "../../../machines/graph/topology.ts";
import type { EdgePlan, GraphPlan, SubtaskSnapshot, VertexPlan } from "../../../machines/protocol.ts";

/** For each operator and each of its subtasks: whether it has processed all of its input and run `finish`. */
export type FinishedOperators = ReadonlyMap<string, readonly boolean[]>;

export function finishedOperators(plan: GraphPlan, snapshots: readonly SubtaskSnapshot[]): FinishedOperators {
  const finished = new Set(snapshots.filter((one) => one.finished).map(({ subtask }) => subtask));
  return new Map(
    plan.vertices.flatMap(({ id, parallelism, operators }) => {
      const subtasks = Array.from({ length: parallelism }, (_, index) => finished.has(`${id}/${index}`));
      return operators.map((operator) => [operator.id, subtasks] as const);
    }),
  );
}

/**
 * What has finished in another plan. If an operator has finished as a whole, all of its subtasks there have. If only
 * some of its subtasks have, each is as it was; under another parallelism none has, and what the finished ones held is
 * dealt out to those that run (P83).
 */
export function finishedIn(
  to: GraphPlan,
  before: FinishedOperators,
  dropped: readonly string[],
): FinishedOperators {
  return new Map(
    to.vertices.flatMap(({ parallelism, operators }) =>
      operators.map(({ id }) => {
        const old = dropped.includes(id) ? [] : (before.get(id) ?? []);
        const whole = old.length > 0 && old.every(Boolean);
        const isSame = old.length === parallelism;
        return [
          id,
          Array.from({ length: parallelism }, (_, index) => whole || (isSame && old[index] === true)),
        ] as const;
      }),
    ),
  );
}

/**
 * Why no checkpoint can be complete with these snapshots among its own; undefined: they fit. Union list state goes to
 * every subtask, so what the finished ones had would be missing, or come back (P83). Flink: DefaultCheckpointPlan.
 */
export function dividedUnion(plan: GraphPlan, snapshots: Iterable<SubtaskSnapshot>): string | undefined {
  const withUnion = plan.vertices.flatMap(({ id, operators }) =>
    operators
      .filter(({ operatorStates = {} }) => Object.values(operatorStates).includes("union"))
      .map((operator) => [id, operator.id] as const),
  );
  if (withUnion.length === 0) return undefined;
  const known = [...snapshots];
  for (const [vertex, operator] of withUnion) {
    const own = known.filter(({ subtask }) => subtask.slice(0, subtask.lastIndexOf("/")) === vertex);
    const ended = own.find(({ finished }) => finished);
    const running = own.find(({ finished }) => !finished);
    if (ended === undefined || running === undefined) continue;
    return (
      `operator ${operator} has union list state, and its subtask ${ended.subtask} has finished while ${running.subtask} ` +
      "has not: no checkpoint completes until all of its subtasks have"
    );
  }
  return undefined;
}

/** Whether one subtask of a vertex has finished; operators that do not agree count as not finished. */
export function isFinished({ operators }: VertexPlan, index: number, finished: FinishedOperators): boolean {
  return operators.every(({ id }) => finished.get(id)?.[index] === true);
}

/** What cannot be restored, each with what helps. */
export function finishedProblems(
  to: GraphPlan,
  before: FinishedOperators,
  dropped: readonly string[],
): string[] {
  const finished = finishedIn(to, before, dropped);
  const words: Words = { finished, before, dropped };
  const divided = new Set(to.vertices.filter((vertex) => isDivided(vertex, finished)));
  return [
    ...[...divided].map((vertex) => chainProblem(vertex, words)),
    ...to.edges.flatMap((edge) => {
      const ends = [edge.from, edge.to].map((id) => to.vertices.find((vertex) => vertex.id === id));
      const [from, behind] = ends;
      // A loop ends as a whole, and says so from its head on.
      if (from === undefined || behind === undefined || edge.feedback) return [];
      // What disagrees within itself is told already.
      if (divided.has(from) || divided.has(behind)) return [];
      return edgeProblem(edge, from, behind, words);
    }),
  ];
}

interface Words {
  readonly finished: FinishedOperators;
  readonly before: FinishedOperators;
  readonly dropped: readonly string[];
}

function isDivided({ parallelism, operators }: VertexPlan, finished: FinishedOperators): boolean {
  return Array.from({ length: parallelism }, (_, index) => index).some((index) => {
    const some = operators.filter(({ id }) => finished.get(id)?.[index] === true).length;
    return some > 0 && some < operators.length;
  });
}

function chainProblem({ operators }: VertexPlan, words: Words): string {
  const { finished } = words;
  const count = (id: string) => finished.get(id)?.filter(Boolean).length ?? 0;
  const counts = operators.map(({ id }) => count(id));
  const most = operators[counts.indexOf(Math.max(...counts))]!.id;
  const least = operators[counts.indexOf(Math.min(...counts))]!.id;
  return (
    `operator ${most} ${standing(most, words)}, and operator ${least}, which is chained to it, ${standing(least, words)}: what is ` +
    `chained finishes together, so chain them as before, or let ${most} begin anew, too, with --drop ${most}`
  );
}

function edgeProblem(edge: EdgePlan, from: VertexPlan, to: VertexPlan, words: Words): string[] {
  const { finished } = words;
  const ends = { ...edge, senders: from.parallelism, receivers: to.parallelism };
  const early = Array.from({ length: to.parallelism }, (_, index) => index).some(
    (index) =>
      isFinished(to, index, finished) &&
      !sendersOf(ends, index).every((sender) => isFinished(from, sender, finished)),
  );
  if (!early) return [];
  const behind = to.operators[0]!;
  const inFront =
    from.operators.find(({ id }) => behind.inputs.some((input) => input.from === id)) ??
    from.operators.at(-1)!;
  return [
    `operator ${behind.id} ${standing(behind.id, words)}, and operator ${inFront.id}, which it takes records from, ` +
      `${standing(inFront.id, words)}: they would be lost, so give the job its former graph, or let ${behind.id} begin anew, too, ` +
      `with --drop ${behind.id}`,
  ];
}

function standing(operator: string, { finished, before, dropped }: Words): string {
  if (dropped.includes(operator)) return "begins anew, since its state is dropped";
  if (!before.has(operator)) return "is new";
  const subtasks = finished.get(operator) ?? [];
  if (subtasks.every(Boolean)) return "has finished";
  return subtasks.some(Boolean) ? `has finished in part (${portion(subtasks)})` : "has not finished";
}

function portion(subtasks: readonly boolean[]): string {
  return `${subtasks.filter(Boolean).length} of its ${subtasks.length} subtasks`;
}
