/**
 * Makes the graph that runs out of the author's operators: parallelism decided, operators chained into vertices.
 *
 * Two operators are chained when records pass between them without an exchange: forward at equal parallelism, or by key
 * when there is one subtask on both sides. An operator with several inputs and a loop always begin a vertex; one
 * that holds records back has it to itself. Forward between unequal parallelisms becomes rebalance, except on the way
 * back of a loop. The same job and configuration give the same graph, ids included.
 */
import type { JobConfig } from "../config/job-config.ts";
import type { Edge, JobGraph, Partitioner, Vertex } from "../dataflow/graph.ts";
import { DEFAULT_PORTS, type OperatorDefinition } from "../dataflow/operators/contract.ts";
import { ConfigurationError, invariant } from "../errors.ts";
import type { Job, JobOperator, OperatorInput } from "./job.ts";
import { checkWaitsWith } from "./joins/waits.ts";

/** @throws ConfigurationError when job and configuration do not go together */
export function buildGraph(job: Job, config: JobConfig): JobGraph {
  checkOperators(job, config);
  for (const operator of job.operators) checkParallelism(operator, config);
  checkTransactionsEnd(job, config);
  checkLastCheckpoint(job, config);
  checkWaitsWith(job, config);
  return withLoops(chain(job, config));
}

/** The same configuration, with barriers that overtake what an operator holds back: those of the leader know of it. */
export function withOvertaking(job: Job, config: JobConfig): JobConfig {
  const { checkpointing } = config;
  const waits = job.operators.some(({ definition }) => definition.details.waits !== undefined);
  if (!waits || checkpointing.unaligned) return config;
  return { ...config, checkpointing: { ...checkpointing, unaligned: true, alignedTimeoutMs: OVERTAKING_MS } };
}

/** So long barriers wait behind records first. */
const OVERTAKING_MS = 1000;

/** Refuses a number of subtasks for an operator that the job does not have. */
function checkOperators(job: Job, { operators }: JobConfig): void {
  const ids = definitionsOf(job).map(({ id }) => id);
  for (const id of Object.keys(operators))
    if (!ids.includes(id))
      throw new ConfigurationError(
        id,
        `there is no operator "${id}" in job ${job.name}; it has ${ids.join(", ")}`,
      );
}

function checkParallelism(operator: JobOperator, config: JobConfig): void {
  const { id } = operator.definition;
  const parallelism = parallelismIn(operator, config);
  if (parallelism > config.maxParallelism) {
    throw new ConfigurationError(
      id,
      `operator "${id}": parallelism ${parallelism} is above the job's maxParallelism ${config.maxParallelism}`,
    );
  }
}

const parallelismIn = ({ definition, parallelism: own }: JobOperator, config: JobConfig): number =>
  config.operators[definition.id] ?? own ?? config.parallelism;

/** Refuses an unbounded job without checkpoints, which would never commit (P19). */
function checkTransactionsEnd(job: Job, config: JobConfig): void {
  if (config.checkpointing.intervalMs !== null) return;
  const unbounded = sourceOf(job, "unbounded");
  const transactional = transactionalSinkOf(job);
  if (unbounded === undefined || transactional === undefined) return;
  throw new ConfigurationError(
    "checkpointing.interval",
    `checkpointing.interval: is off, but sink "${transactional.id}" is exactly-once and writes only when a checkpoint ` +
      `completes, and source "${unbounded.id}" never ends: nothing would ever be written. ` +
      `Set an interval, for example checkpointing: { interval: "1s" }, or make the source bounded`,
  );
}

/** Refuses a job whose checkpoints end with its first source, which would never commit, either (P19). */
function checkLastCheckpoint(job: Job, config: JobConfig): void {
  if (config.checkpointing.afterTasksFinish) return;
  const [bounded, unbounded] = [sourceOf(job, "bounded"), sourceOf(job, "unbounded")];
  const transactional = transactionalSinkOf(job);
  if (bounded === undefined || unbounded === undefined || transactional === undefined) return;
  throw new ConfigurationError(
    "checkpointing.afterTasksFinish",
    `checkpointing.afterTasksFinish: is false, but source "${bounded.id}" ends, source "${unbounded.id}" never does, and sink ` +
      `"${transactional.id}" is exactly-once: once the first has ended no checkpoint would complete any more, and nothing ` +
      "would be written. Leave it true, or make two jobs of it",
  );
}

function sourceOf(job: Job, which: "bounded" | "unbounded"): OperatorDefinition | undefined {
  return definitionsOf(job).find(({ details: { source } }) => source?.bounded === (which === "bounded"));
}

function transactionalSinkOf(job: Job): OperatorDefinition | undefined {
  return definitionsOf(job).find(({ details: { sink } }) => sink?.guarantee === "exactly-once");
}

const definitionsOf = (job: Job): OperatorDefinition[] => job.operators.map(({ definition }) => definition);

/**
 * What a checkpoint of a job with loops can promise (P41). The client checks this when it submits the job; a worker
 * does as the job's record says.
 *
 * @throws ConfigurationError naming the option that has to change
 */
export function checkIterations(job: Job, { checkpointing }: JobConfig): void {
  const loop = definitionsOf(job).find(({ details }) => details.loop !== undefined)?.id;
  const { iterations, intervalMs, mode, maxConcurrent } = checkpointing;
  if (loop === undefined || iterations === "force") return;
  const refuse = (key: string, why: string) => {
    throw new ConfigurationError(key, `${key}: ${why}`);
  };
  const force =
    '"force" to take checkpoints without them, so that they are lost in a failure and with every stop';
  if (iterations === "refuse" && intervalMs !== null)
    refuse(
      "checkpointing.iterations",
      `is "refuse", and operator "${loop}" makes a loop, whose records on their way back no ordinary checkpoint holds. ` +
        `Set it to "exact" to store them with each checkpoint, or to ${force}; or set checkpointing.interval to "off"`,
    );
  if (mode === "at-least-once")
    refuse(
      "checkpointing.mode",
      `is "at-least-once", where no subtask waits for barriers: the records on their way back in loop "${loop}" cannot be ` +
        `told from those of the next checkpoint. Use "exactly-once", or set checkpointing.iterations to ${force}`,
    );
  if (maxConcurrent > 1)
    refuse(
      "checkpointing.maxConcurrent",
      `${maxConcurrent} checkpoints at a time, but the records on their way back in loop "${loop}" are stored for one at a ` +
        `time; leave it at 1, or set checkpointing.iterations to ${force}`,
    );
}

interface OutputDraft {
  readonly tag: string | null;
  readonly next: { readonly operator: number; readonly port: number }[];
  readonly edges: string[];
}

interface OperatorDraft {
  readonly operator: OperatorDefinition;
  readonly outputs: OutputDraft[];
}

interface VertexDraft extends Vertex {
  readonly operators: OperatorDraft[];
}

interface Place {
  readonly vertex: VertexDraft;
  readonly index: number;
}

function chain(job: Job, config: JobConfig): JobGraph {
  const vertices: VertexDraft[] = [];
  const edges: Edge[] = [];
  const places = new Map<string, Place>();
  const placeOf = (id: string): Place => {
    const place = places.get(id);
    invariant(place !== undefined, `operator "${id}" is read before it is defined`);
    return place;
  };

  const connect = (input: OperatorInput, to: VertexDraft, mark: Pick<Edge, "feedback"> = {}): void => {
    const from = placeOf(input.from);
    if (mark.feedback) checkFeedback(input, from.vertex, to);
    const edge: Edge = {
      id: edgeId(input.from, to.id, edges),
      from: from.vertex.id,
      to: to.id,
      port: portOf(input, to.operators[0]!.operator),
      partitioner: partitionerOf(input, from.vertex.parallelism, to),
      ...mark,
    };
    edges.push(edge);
    outputOf(from, input).edges.push(edge.id);
  };

  for (const operator of job.operators) {
    const { definition, inputs } = operator;
    const parallelism = parallelismIn(operator, config);
    const draft: OperatorDraft = { operator: definition, outputs: [] };
    const { beginsVertex = false, holdsRecords = false, ports = DEFAULT_PORTS } = definition.details;
    const stands = beginsVertex || holdsRecords || ports.length > 1;
    const upstream = stands ? undefined : chainableInput(inputs, parallelism, placeOf);
    if (upstream !== undefined) {
      const index = upstream.vertex.operators.push(draft) - 1;
      outputOf(upstream, inputs[0]!).next.push({ operator: index, port: portOf(inputs[0]!, definition) });
      places.set(definition.id, { vertex: upstream.vertex, index });
      continue;
    }
    const vertex: VertexDraft = { id: definition.id, parallelism, operators: [draft] };
    vertices.push(vertex);
    places.set(definition.id, { vertex, index: 0 });
    for (const input of inputs) connect(input, vertex);
    checkOneSender(definition, inputs, (id) => placeOf(id).vertex.parallelism);
  }
  for (const { definition, feedback = [] } of job.operators)
    for (const input of feedback) connect(input, placeOf(definition.id).vertex, { feedback: true });
  return { vertices, edges, maxParallelism: config.maxParallelism };
}

/** Refuses several senders for a port whose records every subtask must get in the same order. */
function checkOneSender(
  { id, details: { oneSenderPort } }: OperatorDefinition,
  inputs: readonly OperatorInput[],
  parallelismOf: (operator: string) => number,
): void {
  if (oneSenderPort === undefined) return;
  const senders = inputs.filter(({ port = 0 }) => port === oneSenderPort).map(({ from }) => from);
  const refuse = (why: string): never => {
    throw new ConfigurationError(
      id,
      `operator "${id}": ${why}, so its subtasks would get the broadcast records in different orders, and their broadcast ` +
        "state would differ: let them go through one operator with { parallelism: 1 }, such as a map, in front of broadcast()",
    );
  };
  if (senders.length > 1) refuse(`${senders.length} operators broadcast to it (${senders.join(", ")})`);
  const [sender] = senders;
  const parallelism = parallelismOf(sender!);
  if (parallelism > 1) refuse(`"${sender}" broadcasts to it from ${parallelism} subtasks`);
}

function outputOf({ vertex, index }: Place, { from, output }: OperatorInput): OutputDraft {
  const tag = output ?? null;
  const { operator, outputs } = vertex.operators[index]!;
  const isThere = tag === null || operator.details.tags?.includes(tag) === true;
  invariant(isThere, `operator "${from}" has no output "${tag}"`);
  const known = outputs.find((one) => one.tag === tag);
  if (known !== undefined) return known;
  const added: OutputDraft = { tag, next: [], edges: [] };
  outputs.push(added);
  return added;
}

function portOf({ port = 0 }: OperatorInput, { id, details }: OperatorDefinition): number {
  invariant(port < (details.ports ?? DEFAULT_PORTS).length, `operator "${id}" has no port ${port}`);
  return port;
}

function chainableInput(
  inputs: readonly OperatorInput[],
  parallelism: number,
  placeOf: (id: string) => Place,
): Place | undefined {
  const [input] = inputs;
  if (input === undefined || inputs.length > 1) return undefined;
  const place = placeOf(input.from);
  if (place.vertex.parallelism !== parallelism) return undefined;
  if (place.vertex.operators[place.index]!.operator.details.holdsRecords) return undefined;
  const stays = input.exchange.kind === "forward" || (input.exchange.kind === "hash" && parallelism === 1);
  return stays ? place : undefined;
}

/** Refuses feedback between unequal parallelisms, unless the author says where each record goes back to. */
function checkFeedback({ from, exchange }: OperatorInput, tail: VertexDraft, head: VertexDraft): void {
  if (exchange.kind !== "forward" || tail.parallelism === head.parallelism) return;
  throw new ConfigurationError(
    head.id,
    `iterate "${head.id}": has parallelism ${head.parallelism}, and its feedback comes from operator "${from}" with ` +
      `parallelism ${tail.parallelism}: give both the same, or say with keyBy or rebalance where each record goes back to`,
  );
}

/** Marks the edges of each loop: those that lie on a way from its beginning back to it. */
function withLoops(graph: JobGraph): JobGraph {
  const { edges } = graph;
  const loops = new Set(edges.filter(({ feedback }) => feedback).map(({ to }) => to));
  if (loops.size === 0) return graph;
  const ahead = edges.filter(({ feedback }) => !feedback);
  const loopOf = new Map<string, string>();
  for (const loop of loops) {
    const behind = reached([loop], ahead, "from", "to");
    const tails = edges.filter(({ feedback, to }) => feedback && to === loop).map(({ from }) => from);
    const leadBack = reached(tails, ahead, "to", "from");
    for (const { id, from, to, feedback } of edges)
      if (feedback ? to === loop : behind.has(from) && leadBack.has(to)) loopOf.set(id, loop);
  }
  const marked = edges.map((edge) => {
    const loop = loopOf.get(edge.id);
    return loop === undefined ? edge : { ...edge, loop };
  });
  for (const edge of marked) checkRescale(edge, graph);
  return { ...graph, edges: marked };
}

/** Refuses to part the subtasks of a loop: its rounds have to reach all of its heads, or stay at one index (LP5). */
function checkRescale({ from, to, partitioner, loop }: Edge, { vertices }: JobGraph): void {
  if (loop === undefined || partitioner.kind !== "rescale") return;
  const [senders, receivers] = [from, to].map(
    (id) => vertices.find((vertex) => vertex.id === id)!.parallelism,
  );
  if (senders === receivers) return;
  throw new ConfigurationError(
    to,
    `operator "${to}": takes records by rescale from ${senders} subtasks in ${receivers}, inside loop "${loop}", whose end ` +
      "could not be found then: use rebalance there, or give both sides the same parallelism",
  );
}

function reached(
  starts: readonly string[],
  edges: readonly Edge[],
  here: "from" | "to",
  there: "from" | "to",
): ReadonlySet<string> {
  const found = new Set(starts);
  for (const vertex of found) for (const edge of edges) if (edge[here] === vertex) found.add(edge[there]);
  return found;
}

function partitionerOf({ exchange }: OperatorInput, from: number, to: VertexDraft): Partitioner {
  if (exchange.kind === "forward" && from !== to.parallelism) return { kind: "rebalance" };
  const { combine } = to.operators[0]!.operator.details;
  return exchange.kind === "hash" && combine !== undefined ? { ...exchange, combine } : exchange;
}

/**
 * `<from>-<to>`, readable in subjects; ids may contain dashes, so two pairs can read alike and the later gets a number.
 */
function edgeId(from: string, to: string, taken: readonly Edge[]): string {
  const plain = `${from}-${to}`;
  let id = plain;
  for (let n = 2; taken.some((edge) => edge.id === id); n++) id = `${plain}-${n}`;
  return id;
}
