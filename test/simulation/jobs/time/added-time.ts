/**
 * Adds operators that go by event time or by the clock to a drawn job, beside what it has: right behind its sources or
 * behind others of that kind, each with a sink of its own.
 */
import type { Random } from "../../../chaos/random.ts";
import {
  AUDITED_KINDS,
  type DrawnAct,
  type DrawnInput,
  type DrawnJob,
  type DrawnOperator,
  type DrawnSink,
  type KeyKind,
} from "../drawing.ts";
import { sideSink, withAdded } from "../lives/changed-graph.ts";
import { isWorthIt } from "../operators/further-kinds.ts";
import { expectedInputs } from "../oracle/oracle.ts";
import { drawTime } from "./event-time.ts";
import { FORMS } from "./summed.ts";

const SHARE = 0.5;
const REPLAY_SHARE = 0.4;
const OTHER_FORM_SHARE = 0.8;
const UNION_SHARE = 0.2;
const TWO_INPUTS_SHARE = 0.4;
const TRIES = 6;
const KEY_KINDS: readonly KeyKind[] = ["number", "text", "bigint", "boolean"];

const ONE_INPUT = [
  ...([
    "tumbling",
    "sliding",
    "cumulating",
    "session",
    "session",
    "patient",
    "patient",
    "triggered",
  ] as const),
  ...(["timer", "alarm", "expiring", "combinedWindow", "pause"] as const),
  ...(["clockWindow", "countWindow", "migrating", "migrating", "hourglass", "hourglass", "mortal"] as const),
];
const TWO_INPUTS = [
  ...(["intervalJoin", "windowJoin", "coGroup", "versionedJoin", "lookup", "gather"] as const),
  ...AUDITED_KINDS,
];
const TELL_LATE: readonly DrawnOperator["kind"][] = [
  ...(["tumbling", "sliding", "cumulating", "session", "patient", "triggered", "alarm"] as const),
  ...(["intervalJoin", "windowJoin", "coGroup", "versionedJoin"] as const),
];
const BY_THE_CLOCK: readonly DrawnOperator["kind"][] = [
  ...(["pause", "triggered", "clockWindow", "hourglass", "mortal"] as const),
];
const HAVE_FORMS: readonly DrawnOperator["kind"][] = ["migrating", "mortal"];

export function withAddedTime(drawn: DrawnJob, random: Random): DrawnJob {
  if (drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job = drawn;
  if (random.next() < SHARE) {
    job = inTime(drawn, random);
    for (let added = random.pick([1, 2, 2, 3]); added > 0; added--)
      job = withOneMore(job, random, `t${added}`);
  }
  return withForms(withReplay(job, random), random);
}

/** All of its sources tell of event time. */
function inTime(job: DrawnJob, random: Random): DrawnJob {
  const isAssigned = job.operators.some(({ kind }) => kind === "restamp");
  if (isAssigned || job.sources.some(({ time }) => time !== undefined)) return job;
  return { ...job, sources: job.sources.map((one) => ({ ...one, time: drawTime(random, one) })) };
}

/** The same job where nothing that was drawn fits it. */
function withOneMore(job: DrawnJob, random: Random, id: string): DrawnJob {
  for (let tries = TRIES; tries > 0; tries--) {
    const kind = random.next() < TWO_INPUTS_SHARE ? random.pick(TWO_INPUTS) : random.pick(ONE_INPUT);
    const ports = (TWO_INPUTS as readonly string[]).includes(kind) ? 2 : 1;
    const operator = {
      id,
      kind,
      ports: Array.from({ length: ports }, () => drawInputs(job, random)),
      parallelism: random.between(1, Math.min(3, job.workers * job.worker.slots)),
      a: random.between(1, 9),
      b: random.between(0, 9),
      keys: random.pick(KEY_KINDS),
      ...(TELL_LATE.includes(kind) && ports === 2 && { tellsLate: true }),
    } as DrawnOperator;
    const sinks = [mainSink(random, operator)];
    if (TELL_LATE.includes(kind)) sinks.push(sideSink(random, operator, "late"));
    const other = withAdded(job, operator, sinks);
    if (expectedInputs(other, id).every(({ timed }) => timed) && isWorthIt(job, other)) return other;
  }
  return job;
}

function drawInputs(job: DrawnJob, random: Random): readonly DrawnInput[] {
  const streams = [...job.sources, ...job.sources, ...job.operators].map(({ id }) => id);
  const first = random.pick(streams);
  const second = random.next() < UNION_SHARE ? random.pick(streams) : first;
  return [...new Set([first, second])].map((from) => ({ from, exchange: "forward" }));
}

function mainSink(random: Random, { id, parallelism }: DrawnOperator): DrawnSink {
  return {
    id: `${id}-out`,
    inputs: [{ from: id, exchange: "forward" }],
    parallelism,
    guarantee: random.next() < 0.8 ? "exactly-once" : "at-least-once",
    partMessagesMax: random.between(1, 50),
  };
}

/** Some operators whose input has event time go on with the clock of the checkpoint. */
function withReplay(job: DrawnJob, random: Random): DrawnJob {
  const chosen = new Set<string>();
  for (const { id, kind } of job.operators) {
    if (!BY_THE_CLOCK.includes(kind) || random.next() >= REPLAY_SHARE) continue;
    if (expectedInputs(job, id).every(({ timed }) => timed)) chosen.add(id);
  }
  return withOperators(job, (one) => (chosen.has(one.id) ? { ...one, replays: true } : one));
}

/** Each life of the job may have other windows, and other machines. */
function withForms(job: DrawnJob, random: Random): DrawnJob {
  let lives = 0;
  const acts = job.acts.map((act): DrawnAct => {
    if (act.becomes === undefined || random.next() >= OTHER_FORM_SHARE) return act;
    const form = ++lives % FORMS;
    const operators = act.becomes.operators.map((one) =>
      HAVE_FORMS.includes(one.kind) ? { ...one, form } : one,
    );
    return { ...act, becomes: { ...act.becomes, operators } };
  });
  return { ...job, acts };
}

function withOperators(job: DrawnJob, other: (operator: DrawnOperator) => DrawnOperator): DrawnJob {
  const acts = job.acts.map(
    (act): DrawnAct =>
      act.becomes === undefined
        ? act
        : { ...act, becomes: { ...act.becomes, operators: act.becomes.operators.map(other) } },
  );
  return { ...job, acts, operators: job.operators.map(other) };
}
