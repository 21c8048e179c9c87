/**
 * Gives a drawn job operators of further kinds in the place of others: sessions, joins, requests, and state without
 * key.
 */
import type { JobOptions } from "../../../../src/config/options.ts";
import type { Random } from "../../../chaos/random.ts";
import type { DrawnJob, DrawnOperator, KeyKind } from "../drawing.ts";
import { sideSink, withOperator } from "../lives/changed-graph.ts";
import { expectedAt, expectedInputs } from "../oracle/oracle.ts";
import { isJoin, isTimed } from "../oracle/windows.ts";

const PATIENCE_MS = 30_000;
const SHARE = 0.6;
const CONVERTED_SHARE = 0.6;
/** At all sinks together: pairs are many. */
const ITEMS_MAX = 1000;
/** After each restore, each subtask has what all of them had. */
const UNION_PARALLELISM_MAX = 2;
const KEY_KINDS: readonly KeyKind[] = ["number", "text", "bigint", "boolean"];
const ORDERS = ["ordered", "unordered", "perKey"] as const;

export function withFurtherKinds(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= SHARE || drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job = drawn;
  for (const operator of drawn.operators) {
    if (random.next() >= CONVERTED_SHARE) continue;
    for (const other of otherKinds(random, operator, drawn)) {
      const converted = withFailures(random, withOperator(job, other), other);
      if (!isWorthIt(job, converted)) continue;
      job = converted;
      break;
    }
  }
  return job.operators.some(({ kind }) => kind === "request") ? withPatience(job) : job;
}

/** Barriers wait behind records that are asked about a few at a time: a checkpoint has the time for them. */
function withPatience(job: DrawnJob): DrawnJob {
  const patient = (options: JobOptions): JobOptions => {
    const { timeout } = options.checkpointing ?? {};
    if (typeof timeout !== "number" || timeout >= PATIENCE_MS) return options;
    return { ...options, checkpointing: { ...options.checkpointing, timeout: PATIENCE_MS } };
  };
  const acts = job.acts.map((act) =>
    act.becomes === undefined
      ? act
      : { ...act, becomes: { ...act.becomes, options: patient(act.becomes.options) } },
  );
  return { ...job, options: patient(job.options), acts };
}

/** The first of them that the job can have is taken. */
function otherKinds(random: Random, operator: DrawnOperator, { sources }: DrawnJob): DrawnOperator[] {
  switch (operator.kind) {
    case "tumbling":
    case "sliding":
    case "cumulating":
      return [{ ...operator, kind: "session" }];
    case "pair":
      return withTwoInputs(random, operator);
    case "reduce":
    case "total":
    case "collection": {
      const second = { from: random.pick(sources).id, exchange: "forward" } as const;
      const joins = withTwoInputs(random, { ...operator, ports: [operator.ports[0]!, [second]] });
      return random.next() < 0.4 ? [{ ...operator, kind: "timer" }, ...joins] : joins;
    }
    case "map":
    case "rekey":
    case "filter":
    case "flatMap":
      return [random.next() < 0.7 ? requestIn(random, operator) : bufferIn(random, operator)];
    default:
      return [];
  }
}

type KeyedOperator = Extract<DrawnOperator, { readonly keys: KeyKind }>;

function withTwoInputs(random: Random, operator: KeyedOperator): DrawnOperator[] {
  const kinds = [random.pick(["intervalJoin", "windowJoin", "coGroup", "rules"] as const), "rules"] as const;
  return kinds.map((kind) => ({ ...operator, kind }));
}

function requestIn(random: Random, { id, ports, parallelism, a, b }: DrawnOperator): DrawnOperator {
  const order = random.pick(ORDERS);
  const isKeyed = order === "perKey";
  return {
    id,
    // keyBy takes the place of another exchange.
    ports: isKeyed ? ports.map((inputs) => inputs.map((one) => ({ ...one, exchange: "forward" }))) : ports,
    parallelism,
    a,
    b,
    kind: "request",
    order,
    perKey: isKeyed ? random.pick(KEY_KINDS) : undefined,
    capacity: random.pick([1, 2, 5, 100]),
    onFailure: random.pick(["fail", "sideOutput"]),
  };
}

function bufferIn(random: Random, { id, ports, parallelism, a, b }: DrawnOperator): DrawnOperator {
  const state = random.pick(["list", "union"] as const);
  const most = state === "union" ? UNION_PARALLELISM_MAX : parallelism;
  return { id, ports, parallelism: Math.min(parallelism, most), a, b, kind: "buffer", state };
}

function withFailures(random: Random, drawn: DrawnJob, operator: DrawnOperator): DrawnJob {
  const hasFailures = operator.kind === "request" && operator.onFailure === "sideOutput";
  return hasFailures ? { ...drawn, sinks: [...drawn.sinks, sideSink(random, operator, "failed")] } : drawn;
}

/** It can run, nothing can be foretold less than before, and there are not too many items. */
export function isWorthIt(before: DrawnJob, after: DrawnJob): boolean {
  const needTime = after.operators.filter((one) => isTimed(one) || isJoin(one));
  if (needTime.some(({ id }) => expectedInputs(after, id).some(({ timed }) => !timed))) return false;
  const [was, is] = [expectedAt(before), expectedAt(after)];
  let items = 0;
  for (const [sink, { vague, items: own }] of is) {
    if (vague && was.get(sink)?.vague !== true) return false;
    items += own.length;
  }
  return items > 0 && items <= ITEMS_MAX;
}
