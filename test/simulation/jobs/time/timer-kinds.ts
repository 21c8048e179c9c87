/** Gives a drawn job operators that live by their timers in the place of others. */
import type { Random } from "../../../chaos/random.ts";
import { sideSink, withOperator } from "../changed-graph.ts";
import { type DrawnJob, type DrawnOperator, KEYED_KINDS, type KeyKind, TIMED_KINDS } from "../drawing.ts";
import { isWorthIt } from "../operators/further-kinds.ts";

const ALARM_SHARE = 0.4;
const PAUSE_SHARE = 0.08;
const UNTIMED: readonly string[] = KEYED_KINDS;
const KINDS: readonly string[] = [...KEYED_KINDS, ...TIMED_KINDS];

type KeyedOperator = Extract<DrawnOperator, { readonly keys: KeyKind }>;

export function withTimers(drawn: DrawnJob, random: Random): DrawnJob {
  if (drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job = drawn;
  for (const operator of drawn.operators) {
    if (!isConvertible(operator)) continue;
    const mayPause = UNTIMED.includes(operator.kind) && random.next() < PAUSE_SHARE;
    const others = [
      ...(random.next() < ALARM_SHARE ? [withAlarm(random, job, operator)] : []),
      ...(mayPause ? [withOperator(job, { ...operator, kind: "pause" })] : []),
    ];
    job = others.find((other) => isWorthIt(job, other)) ?? job;
  }
  return job;
}

const isConvertible = (operator: DrawnOperator): operator is KeyedOperator =>
  KINDS.includes(operator.kind) && operator.ports.length === 1;

function withAlarm(random: Random, drawn: DrawnJob, operator: KeyedOperator): DrawnJob {
  const job = withOperator(drawn, { ...operator, kind: "alarm" });
  const isRead = job.sinks.some(({ inputs }) =>
    inputs.some(({ from, output }) => from === operator.id && output === "late"),
  );
  return isRead ? job : { ...job, sinks: [...job.sinks, sideSink(random, operator, "late")] };
}
