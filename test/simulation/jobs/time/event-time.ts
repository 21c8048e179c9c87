/** Gives a drawn job event time: to its sources timestamps and watermarks, to its operators windows, timers, expiry. */
import type { Random } from "../../../chaos/random.ts";
import type { DrawnJob, DrawnOperator, DrawnSource, DrawnTime, KeyKind, TimedKind } from "../drawing.ts";
import { sideSink, withOperator } from "../lives/changed-graph.ts";
import { expectedInputs } from "../oracle/oracle.ts";

const SHARE = 0.5;
const DISORDER_SHARE = 0.5;
const CONVERTED_SHARE = 0.8;
const WITH_TIME = ["tumbling", "sliding", "cumulating", "timer"] as const;
const WITHOUT_LATE: readonly TimedKind[] = ["timer", "expiring"];
const CONVERTIBLE = ["count", "every", "first", "rounds"];

type KeyedOperator = Extract<DrawnOperator, { readonly keys: KeyKind }>;

const isConvertible = (operator: DrawnOperator): operator is KeyedOperator =>
  CONVERTIBLE.includes(operator.kind);

export function withEventTime(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= SHARE || drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job: DrawnJob = {
    ...drawn,
    sources: drawn.sources.map((one) => ({ ...one, time: drawTime(random, one) })),
  };
  for (const operator of drawn.operators) {
    const { id, a, b } = operator;
    if (!isConvertible(operator) || random.next() >= CONVERTED_SHARE) continue;
    const picked = random.pick(WITH_TIME);
    const timed = picked === "timer" && a % 2 === 0 && b % 2 === 1 ? "expiring" : picked;
    // What cannot be foretold is not worth an operator of this kind.
    if (expectedInputs(job, id).every((port) => port.timed)) job = converted(random, job, operator, timed);
  }
  return job;
}

export function drawTime(random: Random, { splits, parallelism }: DrawnSource): DrawnTime {
  const inDisorder = splits.length === 1 && parallelism === 1 && random.next() < DISORDER_SHARE;
  return {
    disorder: inDisorder ? random.between(1, 8) : 0,
    bound: inDisorder ? random.between(0, 6) : 0,
    intervalMs: inDisorder ? 0 : random.pick([0, 200, 1000]),
  };
}

/** The same job with another kind in the place of this operator's. */
function converted(random: Random, drawn: DrawnJob, operator: KeyedOperator, kind: TimedKind): DrawnJob {
  const job = withOperator(drawn, { ...operator, kind });
  if (WITHOUT_LATE.includes(kind)) return job;
  return { ...job, sinks: [...job.sinks, sideSink(random, operator, "late")] };
}
