/** Gives a drawn job event time: to its sources timestamps and watermarks, to its operators windows, timers, expiry. */
import type { Random } from "../../../chaos/random.ts";
import {
  type DrawnAct,
  type DrawnJob,
  type DrawnOperator,
  type DrawnSink,
  type DrawnSource,
  type DrawnTime,
  TIMED_KINDS,
  type TimedKind,
} from "../drawing.ts";
import { expectedInputs } from "../oracle/oracle.ts";

const SHARE = 0.5;
const DISORDER_SHARE = 0.5;
const CONVERTED_SHARE = 0.8;
const WITH_TIME = TIMED_KINDS.filter((kind) => kind !== "session" && kind !== "expiring");
const WITHOUT_LATE: readonly TimedKind[] = ["timer", "expiring"];
const CONVERTIBLE = ["count", "every", "first", "rounds"];

export function withEventTime(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= SHARE || drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job: DrawnJob = {
    ...drawn,
    sources: drawn.sources.map((one) => ({ ...one, time: drawTime(random, one) })),
  };
  for (const { id, kind, a, b } of drawn.operators) {
    if (!CONVERTIBLE.includes(kind) || random.next() >= CONVERTED_SHARE) continue;
    const picked = random.pick(WITH_TIME);
    const timed = picked === "timer" && a % 2 === 0 && b % 2 === 1 ? "expiring" : picked;
    // What cannot be foretold is not worth an operator of this kind.
    if (expectedInputs(job, id).every((port) => port.timed)) job = converted(random, job, id, timed);
  }
  return job;
}

function drawTime(random: Random, { splits, parallelism }: DrawnSource): DrawnTime {
  const inDisorder = splits.length === 1 && parallelism === 1 && random.next() < DISORDER_SHARE;
  return {
    disorder: inDisorder ? random.between(1, 8) : 0,
    bound: inDisorder ? random.between(0, 6) : 0,
    intervalMs: inDisorder ? 0 : random.pick([0, 200, 1000]),
  };
}

/** The same job, in all of its lives, with another kind in the place of this operator's. */
function converted(random: Random, drawn: DrawnJob, id: string, kind: TimedKind): DrawnJob {
  const other = (operators: readonly DrawnOperator[]): DrawnOperator[] =>
    operators.map((one) => (one.id === id && "keys" in one ? ({ ...one, kind } as DrawnOperator) : one));
  const acts = drawn.acts.map(
    (act): DrawnAct =>
      act.becomes === undefined
        ? act
        : { ...act, becomes: { ...act.becomes, operators: other(act.becomes.operators) } },
  );
  const sinks = WITHOUT_LATE.includes(kind) ? drawn.sinks : [...drawn.sinks, lateSink(random, drawn, id)];
  return { ...drawn, operators: other(drawn.operators), sinks, acts };
}

function lateSink(random: Random, { operators }: DrawnJob, id: string): DrawnSink {
  return {
    id: `${id}-late-out`,
    inputs: [{ from: id, output: "late", exchange: "forward" }],
    parallelism: operators.find((one) => one.id === id)!.parallelism,
    guarantee: random.next() < 0.8 ? "exactly-once" : "at-least-once",
    partMessagesMax: 20,
  };
}
