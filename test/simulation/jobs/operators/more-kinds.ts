/** Gives a drawn job aggregations in two stages, actors that send each other events, and rules that are waited for. */
import type { JobOptions } from "../../../../src/config/options.ts";
import type { Random } from "../../../chaos/random.ts";
import type { DrawnInput, DrawnJob, DrawnOperator, DrawnSource } from "../drawing.ts";
import { withOperator } from "../lives/changed-graph.ts";
import { expectedInputs } from "../oracle/oracle.ts";
import { isWorthIt } from "./further-kinds.ts";

const COMBINED_SHARE = 0.5;
const RELAY_SHARE = 0.15;
const WAIT_SHARE = 0.9;
const RULES_SHARE = 0.35;
const BECOME_RULES: readonly string[] = ["total", "collection", "reduce", "count"];
const BECOME_RELAYS: readonly string[] = ["every", "first", "rounds", "count"];

export function withMoreKinds(drawn: DrawnJob, random: Random): DrawnJob {
  if (drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  let job = drawn;
  for (const operator of drawn.operators) {
    if (operator.kind === "reduce" && random.next() < COMBINED_SHARE)
      job = withOperator(job, { ...operator, kind: "combined" });
    if (BECOME_RELAYS.includes(operator.kind) && random.next() < RELAY_SHARE) job = withRelay(job, operator);
  }
  for (const operator of job.operators)
    if (BECOME_RULES.includes(operator.kind) && random.next() < RULES_SHARE)
      job = besideRules(random, job, operator);
  const rules = job.operators.find(({ kind }) => kind === "rules");
  return rules === undefined || random.next() >= WAIT_SHARE ? job : withWait(random, job, rules);
}

/** The rules are items of a source that does not lead to the operator. */
function besideRules(random: Random, job: DrawnJob, operator: DrawnOperator): DrawnJob {
  const held = sourcesBehind(job, operator.ports.flat());
  const others = job.sources.filter((source) => !held.includes(source));
  if (others.length === 0) return job;
  const rules = [{ from: random.pick(others).id, exchange: "forward" }] as const;
  const ports = [operator.ports[0]!, rules];
  const other = withOperator(job, { ...operator, kind: "rules", ports } as DrawnOperator);
  return isWorthIt(job, other) ? other : job;
}

const isOneByOne = ({ options }: DrawnJob): boolean =>
  options.checkpointing?.mode === "exactly-once" && options.checkpointing.maxConcurrent === undefined;

/** The events between actors are part of checkpoints. */
function withRelay(job: DrawnJob, operator: DrawnOperator): DrawnJob {
  if (!isOneByOne(job) || job.options.checkpointing?.iterations === "force") return job;
  const other = withOperator(job, { ...operator, kind: "relay", keys: "number" } as DrawnOperator);
  const relay = withOptions(other, ({ checkpointing, ...options }) => ({
    ...options,
    checkpointing: { ...checkpointing, iterations: "exact" },
  }));
  return isWorthIt(job, relay) ? relay : job;
}

/** What comes for keys waits until the first rule is there, or all of them are. */
export function withWait(random: Random, job: DrawnJob, rules: DrawnOperator): DrawnJob {
  const [held, awaited] = rules.ports.map((inputs) => sourcesBehind(job, inputs)) as [
    DrawnSource[],
    DrawnSource[],
  ];
  const isApart = awaited.every((source) => !held.includes(source));
  const isAligned = job.sources.some(({ time }) => time?.alignment !== undefined);
  const stays = awaited.every(({ retention }) => retention === undefined);
  if (!isOneByOne(job) || !isApart || isAligned || !stays) return job;
  const allEnd = awaited.every(({ bounded, time }) => bounded || time?.idleAfterMs !== undefined);
  const willCome = expectedInputs(job, rules.id)[1]!.items.length > 0;
  if (!willCome) return job;
  const waitFor = allEnd ? random.pick(["first", "caughtUp"] as const) : "first";
  // Barriers overtake what is held back, unless the job says that they do not.
  return withOptions(withOperator(job, { ...rules, waitFor }), ({ checkpointing, ...options }) => {
    const { unaligned, ...others } = checkpointing ?? {};
    return { ...options, checkpointing: unaligned === true ? { unaligned, ...others } : others };
  });
}

/** The same job with other options, in all of its lives. */
function withOptions(drawn: DrawnJob, other: (options: JobOptions) => JobOptions): DrawnJob {
  const acts = drawn.acts.map((act) =>
    act.becomes === undefined
      ? act
      : { ...act, becomes: { ...act.becomes, options: other(act.becomes.options) } },
  );
  return { ...drawn, acts, options: other(drawn.options) };
}

/** The sources whose items lead here. */
function sourcesBehind(job: DrawnJob, inputs: readonly DrawnInput[]): readonly DrawnSource[] {
  return inputs.flatMap(({ from }) => {
    const source = job.sources.find(({ id }) => id === from);
    if (source !== undefined) return [source];
    return sourcesBehind(job, job.operators.find(({ id }) => id === from)!.ports.flat());
  });
}
