/**
 * Two digests: of the graph, which a resume must match, and of the code, which all workers must share.
 *
 * Neither contains anything that differs from one process or start to the next.
 */

import { createHash } from "node:crypto";
import { inspect } from "node:util";
import type { EdgePlan, GraphPlan, OperatorPlan, VertexPlan } from "../../machines/protocol.ts";
import type { ProjectCode } from "./code/project-code.ts";
import type { Job, OperatorInput } from "./job.ts";
import { actorProblems } from "./machines/shape.ts";
import { describeInput, describeStates, operatorsOf } from "./plan.ts";

/**
 * The fingerprint of the graph: operators, their kinds, connectors, states and connections, and the number of key
 * groups. Parallelism and chaining are not in it: state can move to another number of subtasks.
 *
 * @returns `sha256:<hex>`
 */
export function graphFingerprint(plan: GraphPlan): string {
  const operators = operatorsOf(plan).map(identityOf).sort(byText);
  return digest(JSON.stringify({ maxParallelism: plan.maxParallelism, operators }));
}

function identityOf(operator: OperatorPlan): string {
  const {
    id,
    kind,
    connector,
    transactional,
    inputs,
    states,
    stateKinds,
    stateTtls,
    operatorStates,
    windows,
    feedback,
  } = operator;
  return JSON.stringify({
    id,
    kind,
    connector,
    transactional,
    inputs: inputs.map(describeInput).sort(byText),
    states,
    stateKinds,
    stateTtls,
    operatorStates,
    windows,
    feedback: feedback && [...feedback].sort(byText),
  });
}

/**
 * What differs between two plans whose graph fingerprints differ, one line each: for the message that refuses a resume.
 */
export function planDifferences(before: GraphPlan, after: GraphPlan): string[] {
  const lines: string[] = [];
  if (before.maxParallelism !== after.maxParallelism) {
    lines.push(`maxParallelism was ${before.maxParallelism}, is ${after.maxParallelism}`);
  }
  const old = new Map(operatorsOf(before).map((operator) => [operator.id, operator]));
  const now = new Map(operatorsOf(after).map((operator) => [operator.id, operator]));
  for (const [id, operator] of old) {
    const successor = now.get(id);
    if (successor === undefined) lines.push(`operator "${id}" (${operator.kind}) is gone`);
    else lines.push(...operatorDifferences(operator, successor));
  }
  for (const [id, operator] of now) {
    if (!old.has(id)) lines.push(`operator "${id}" (${operator.kind}) is new`);
  }
  return lines;
}

function operatorDifferences(before: OperatorPlan, after: OperatorPlan): string[] {
  const lines: string[] = [];
  const compare = (what: string, was: string, is: string) => {
    if (was !== is) lines.push(`operator "${before.id}": ${what} was ${was}, is ${is}`);
  };
  const statesOf = (operator: OperatorPlan) => describeStates(operator) || "none";
  const operatorStatesOf = ({ operatorStates = {} }: OperatorPlan) =>
    Object.entries(operatorStates)
      .map(([name, distribution]) => `${name} (${distribution})`)
      .join(", ") || "none";
  const feedbackOf = ({ feedback = [] }: OperatorPlan) => [...feedback].sort(byText).join(", ") || "none";
  const inputsOf = ({ inputs }: OperatorPlan) => inputs.map(describeInput).sort(byText).join(", ");
  const kindOf = ({ kind, connector }: OperatorPlan) =>
    connector === undefined ? kind : `${connector} ${kind}`;
  compare("kind", kindOf(before), kindOf(after));
  compare("guarantee", String(before.guarantee), String(after.guarantee));
  compare("input", inputsOf(before), inputsOf(after));
  compare("feedback", feedbackOf(before), feedbackOf(after));
  compare("windows", before.windows ?? "none", after.windows ?? "none");
  compare("state", statesOf(before), statesOf(after));
  compare("operator state", operatorStatesOf(before), operatorStatesOf(after));
  return lines;
}

/**
 * What differs between two plans in how operators are chained and how records reach them, one line each. The graph
 * fingerprint does not tell: state can move to other subtasks, but a resume leaves it where it is.
 */
export function layoutDifferences(before: GraphPlan, after: GraphPlan): string[] {
  const lines: string[] = [];
  const old = new Map(before.vertices.flatMap(headsOf));
  for (const [id, head] of after.vertices.flatMap(headsOf)) {
    const was = old.get(id);
    if (was !== undefined && was !== head)
      lines.push(`operator "${id}" ${chainedTo(id, head)}, it ${chainedTo(id, was, "was")}`);
  }
  const exchanges = new Map(before.edges.map((edge) => [edge.id, edge]));
  for (const edge of after.edges) {
    const { id, partitioner } = edge;
    const was = exchanges.get(id);
    if (was !== undefined && was.partitioner !== partitioner)
      lines.push(`records take edge "${id}" by ${partitioner}, they took it by ${was.partitioner}`);
    if (was !== undefined && was.accumulators !== edge.accumulators)
      lines.push(`edge "${id}" carries ${carriedBy(edge)}, it carried ${carriedBy(was)}`);
  }
  return lines;
}

const carriedBy = ({ accumulators }: EdgePlan): string =>
  accumulators ? "accumulators, by combine" : "records, without combine";

/** Why the actors of a job's machines do not fit its present code, one line each. */
export function machineDifferences(before: GraphPlan, after: GraphPlan): string[] {
  const old = new Map(operatorsOf(before).map((operator) => [operator.id, operator]));
  return operatorsOf(after).flatMap(({ id, actors }) =>
    actorProblems(old.get(id)?.actors, actors).map((problem) => `operator "${id}": ${problem}`),
  );
}

const headsOf = ({ id, operators }: VertexPlan) => operators.map((operator) => [operator.id, id] as const);

function chainedTo(operator: string, head: string, is: "is" | "was" = "is"): string {
  return operator === head
    ? `${is} chained to none in front of it`
    : `${is} chained into the vertex of "${head}"`;
}

/**
 * The fingerprint of the files and packages that the job is made of (P51), and of what they describe, because that may
 * depend on where they are loaded: options, operators, how they are joined, initial states. Functions are not in it:
 * their text is that of the files, and holds paths of the machine once it is compiled. The data inside connectors is
 * not in it either, since a start time may be computed when the file loads.
 *
 * @returns `sha256:<hex>`
 */
export function codeFingerprint(job: Job, code: ProjectCode): string {
  const exchanges = (inputs: readonly OperatorInput[]) =>
    inputs.map(({ from, output, port, exchange }) => ({ from, output, port, exchange: exchange.kind }));
  const operators = job.operators.map(({ definition, inputs, feedback, parallelism }) => ({
    id: definition.id,
    kind: definition.kind,
    parallelism,
    inputs: exchanges(inputs),
    feedback: feedback && exchanges(feedback),
    states: inspect(definition.details.states, { depth: 6, sorted: true }),
  }));
  return digest(JSON.stringify({ ...code, name: job.name, options: sorted(job.options), operators }));
}

/** Options say the same in whatever order they were written. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => byText(a, b))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** Not localeCompare: the order must be the same on every machine. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function digest(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
