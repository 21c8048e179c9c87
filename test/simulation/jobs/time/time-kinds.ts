/** Gives a drawn job timers, triggers, and joins of further kinds in the place of other operators. */
import type { Random } from "../../../chaos/random.ts";
import {
  type DrawnInput,
  type DrawnJob,
  type DrawnOperator,
  JOIN_KINDS,
  KEYED_KINDS,
  type KeyKind,
  PASSING_KINDS,
  TICK_MS,
  TIMED_KINDS,
} from "../drawing.ts";
import { sideSink, withOperator } from "../lives/changed-graph.ts";
import { isWorthIt } from "../operators/further-kinds.ts";
import { expectedInputs } from "../oracle/oracle.ts";

const TIMED_SHARE = 0.5;
const JOIN_SHARE = 0.6;
const PASSING_SHARE = 0.3;
const ALIGNED_SHARE = 0.15;
const BEHIND_SHARE = 0.5;
const RESTAMPED_SHARE = 0.4;
const RESTAMPED: readonly DrawnOperator["kind"][] = ["map", "filter", "flatMap"];
const PAUSE_SHARE = 0.08;
const UNTIMED: readonly string[] = KEYED_KINDS;
const KINDS: readonly string[] = [...KEYED_KINDS, ...TIMED_KINDS, ...JOIN_KINDS];

type KeyedOperator = Extract<DrawnOperator, { readonly keys: KeyKind }>;

export function withTimeKinds(drawn: DrawnJob, random: Random): DrawnJob {
  if (drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job = withAlignment(drawn, random);
  for (const operator of drawn.operators) {
    if (RESTAMPED.includes(operator.kind) && random.next() < RESTAMPED_SHARE)
      job = restamped(random, job, operator);
    if (!isConvertible(operator)) continue;
    if (operator.ports.length === 2) {
      if (random.next() < JOIN_SHARE) job = firstWorthIt(job, otherJoins(random, job, operator));
      continue;
    }
    const mayPass = UNTIMED.includes(operator.kind) && random.next() < PASSING_SHARE;
    const mayPause = UNTIMED.includes(operator.kind) && random.next() < PAUSE_SHARE;
    const others = [
      ...(mayPass ? [passing(random, job, operator)] : []),
      ...(random.next() < TIMED_SHARE ? otherTimed(random, job, operator) : []),
      ...(mayPause ? [withOperator(job, { ...operator, kind: "pause" })] : []),
    ];
    job = firstWorthIt(job, others);
  }
  return job;
}

const firstWorthIt = (job: DrawnJob, others: readonly DrawnJob[]): DrawnJob =>
  others.find((other) => isWorthIt(job, other)) ?? job;

const isConvertible = (operator: DrawnOperator): operator is KeyedOperator => KINDS.includes(operator.kind);

function otherTimed(random: Random, job: DrawnJob, operator: KeyedOperator): DrawnJob[] {
  const kind = random.pick(["alarm", "triggered", "alarm", "triggered", "combinedWindow"] as const);
  if (kind === "combinedWindow") {
    const isRead = job.sinks.some(({ inputs }) =>
      inputs.some(({ from, output }) => from === operator.id && output),
    );
    return isRead ? [] : [withOperator(job, { ...operator, kind })];
  }
  return [withSideSink(random, withOperator(job, { ...operator, kind }), operator, "late")];
}

/** What no item can be late for, and what can be foretold also where some are. */
function otherJoins(random: Random, job: DrawnJob, operator: KeyedOperator): DrawnJob[] {
  const kinds = random.pick([
    ["versionedJoin"],
    ["versionedJoin"],
    [operator.kind, "lookup"],
    ["lookup"],
    ["gather"],
  ] as const);
  return [...kinds, random.pick(PASSING_KINDS)].map((kind) => {
    const other = { ...operator, kind } as KeyedOperator;
    if (!isAmong(JOIN_KINDS, kind)) return withOperator(job, other);
    return withSideSink(random, withOperator(job, { ...other, tellsLate: true }), operator, "late");
  });
}

/** Beside a source as the other side. */
function passing(random: Random, job: DrawnJob, operator: KeyedOperator): DrawnJob {
  const other = [{ from: random.pick(job.sources).id, exchange: "forward" }] as const;
  return withOperator(job, {
    ...operator,
    kind: random.pick(PASSING_KINDS),
    ports: [operator.ports[0]!, other],
  });
}

/**
 * Sources that end wait for each other; one that only has nothing more would hold the others for ever. Those that wait
 * only while they are behind may be of any kind.
 */
function withAlignment(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= ALIGNED_SHARE) return drawn;
  const alignment = {
    maxDriftMs: TICK_MS * random.between(1, 30),
    intervalMs: random.pick([100, 300, 1000]),
    ...(random.next() < BEHIND_SHARE && { whileBehind: random.between(2, 40) }),
  };
  const isForAll = alignment.whileBehind !== undefined;
  const sources = drawn.sources.map((source) => {
    const { time, bounded } = source;
    return time === undefined || !(bounded || isForAll)
      ? source
      : { ...source, time: { ...time, alignment } };
  });
  return { ...drawn, sources };
}

/** Items of sources without timestamps get some. Where they do not come in order, watermarks wait for all of them. */
function restamped(random: Random, job: DrawnJob, operator: DrawnOperator): DrawnJob {
  const { id, ports, parallelism, a, b } = operator;
  const [input] = expectedInputs(job, id);
  const { timed, makers, order, items } = input!;
  if (timed || [...makers].some((maker) => !maker.includes("/"))) return job;
  const isInOrder = makers.size === 1 && order === "of-maker";
  const boundMs = isInOrder ? 0 : TICK_MS * Math.max(0, ...items.map(({ at }) => at));
  const intervalMs = random.pick([0, 200]);
  return withOperator(job, { id, ports, parallelism, a, b, kind: "restamp", boundMs, intervalMs });
}

function isAmong(kinds: readonly string[], kind: string): boolean {
  return kinds.includes(kind);
}

function withSideSink(
  random: Random,
  job: DrawnJob,
  operator: DrawnOperator,
  output: NonNullable<DrawnInput["output"]>,
): DrawnJob {
  const isRead = job.sinks.some(({ inputs }) =>
    inputs.some((one) => one.from === operator.id && one.output === output),
  );
  return isRead ? job : { ...job, sinks: [...job.sinks, sideSink(random, operator, output)] };
}
