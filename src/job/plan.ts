/** The graph as plain data: what the coordinator knows about a job, whose code it never loads, and how it reads. */
import type {
  CheckpointingConfig,
  Distribution,
  EdgePlan,
  GraphPlan,
  InputPlan,
  OperatorPlan,
  RestartStrategy,
  SubtaskName,
  VertexPlan,
} from "../../machines/protocol.ts";
import type { StorageConfig } from "../config/checkpointing.ts";
import { formatDuration, formatSize } from "../config/quantity.ts";
import { firstOf, type JobGraph } from "../dataflow/graph.ts";
import { DEFAULT_PORTS, type OperatorDefinition } from "../dataflow/operators/contract.ts";
import { timerStates } from "../dataflow/operators/keyed/operator-timers.ts";
import { isStateOfKeys } from "../dataflow/operators/windows/triggered/triggered-window.ts";
import type { StateDescriptors } from "../state/descriptor.ts";
import { type AnyOperatorStateDescriptors, distributions } from "../state/operator-state.ts";
import { describeTtl, stateOfTimes } from "../state/ttl/time-to-live.ts";
import { FIRST_VERSION } from "../state/versions/state-version.ts";
import { repeatedByRestartOf } from "./repeats.ts";

export type { GraphPlan };

const REGION_SUBTASKS_SHOWN = 8;

export function planOf(graph: JobGraph): GraphPlan {
  const inputs = inputsOf(graph);
  return {
    vertices: graph.vertices.map(({ id, parallelism, operators }) => ({
      id,
      parallelism,
      operators: operators.map(({ operator }) => operatorPlan(operator, inputs(operator.id))),
    })),
    edges: graph.edges.map(({ id, from, to, partitioner, feedback }) => ({
      id,
      from,
      to,
      partitioner: partitioner.kind,
      ...(feedback && { feedback }),
      ...(partitioner.kind === "hash" &&
        partitioner.combine?.joins.kind === "accumulators" && { accumulators: true as const }),
    })),
    maxParallelism: graph.maxParallelism,
  };
}

interface Inputs {
  readonly inputs: readonly InputPlan[];
  readonly feedback: readonly string[];
}

function inputsOf(graph: JobGraph): (operator: string) => Inputs {
  const all = new Map<string, { readonly inputs: InputPlan[]; readonly feedback: string[] }>();
  const of = (id: string) => {
    const known = all.get(id) ?? { inputs: [], feedback: [] };
    all.set(id, known);
    return known;
  };
  const firsts = new Map(graph.vertices.map((vertex) => [vertex.id, firstOf(vertex)]));
  const edges = new Map(graph.edges.map((edge) => [edge.id, edge]));
  for (const { operators } of graph.vertices) {
    for (const { operator, outputs } of operators) {
      for (const { tag, next, edges: out } of outputs) {
        const add = (to: OperatorDefinition, port: number) =>
          of(to.id).inputs.push({ from: operator.id, ...outputPlan(tag), ...portPlan(to, port) });
        for (const { operator: index, port } of next) add(operators[index]!.operator, port);
        for (const id of out) {
          const edge = edges.get(id)!;
          const to = firsts.get(edge.to)!;
          if (edge.feedback) of(to.id).feedback.push(operator.id);
          else add(to, edge.port);
        }
      }
    }
  }
  return of;
}

const outputPlan = (tag: string | null) => (tag === null ? {} : { output: tag });

/** The port of an input, if the operator has several. */
function portPlan(
  { details: { ports = DEFAULT_PORTS } }: OperatorDefinition,
  port: number,
): { port?: string } {
  return ports.length === 1 ? {} : { port: ports[port]! };
}

function operatorPlan({ id, kind, details }: OperatorDefinition, { inputs, feedback }: Inputs): OperatorPlan {
  const { source, sink, loop, states, operatorStates, ownStates, windows, actors } = details;
  const { windowsPlan, migrateWindows } = details;
  return {
    id,
    kind,
    inputs,
    ...(source && { connector: source.kind, bounded: source.bounded, replayable: source.replayable }),
    ...(sink && {
      connector: sink.kind,
      guarantee: sink.guarantee,
      transactional: sink.guarantee === "exactly-once",
    }),
    ...(loop && { feedback }),
    ...(states && {
      states: Object.keys(states).sort(),
      ...stateKinds(states),
      ...stateTtls(states),
    }),
    ...stateVersions([...Object.entries(states ?? {}), ...Object.entries(operatorStates ?? {})]),
    ...(operatorStates &&
      Object.keys(operatorStates).length > 0 && { operatorStates: distributionsOf(operatorStates) }),
    ...(ownStates && { ownStates: true as const }),
    ...(windows !== undefined && { windows }),
    ...(windowsPlan && { windowsPlan }),
    ...(migrateWindows && { migrateWindows }),
    ...(actors !== undefined && { actors }),
  };
}

function stateKinds(states: StateDescriptors): Pick<OperatorPlan, "stateKinds"> {
  const others = Object.entries(states).filter(([, { kind }]) => kind !== "value" && kind !== "table");
  if (others.length === 0) return {};
  return { stateKinds: Object.fromEntries(others.map(([name, { kind }]) => [name, kind]).sort()) };
}

function stateTtls(states: StateDescriptors): Pick<OperatorPlan, "stateTtls"> {
  const expiring = Object.entries(states).flatMap(([name, descriptor]) =>
    descriptor.kind === "table" || descriptor.ttl === undefined ? [] : [[name, descriptor.ttl] as const],
  );
  return expiring.length === 0 ? {} : { stateTtls: Object.fromEntries(expiring.sort()) };
}

function stateVersions(
  states: readonly (readonly [string, (StateDescriptors | AnyOperatorStateDescriptors)[string]])[],
): Pick<OperatorPlan, "stateVersions"> {
  const versioned = states.flatMap(([name, descriptor]) => {
    if (descriptor.kind === "table") return [];
    const { version = FIRST_VERSION, migrate = {} } = descriptor;
    const migrates = Object.keys(migrate).sort();
    return version === FIRST_VERSION && migrates.length === 0 ? [] : [[name, { version, migrates }] as const];
  });
  return versioned.length === 0 ? {} : { stateVersions: Object.fromEntries(versioned.sort()) };
}

/**
 * `items (list; expires after 1h by event time)`: the kind stands behind the names of those that are no value states.
 */
export function describeStates({ states = [], stateKinds = {}, stateTtls = {} }: OperatorPlan): string {
  return states
    .map((name) => {
      const ttl = stateTtls[name];
      const behind = [
        stateKinds[name] ?? [],
        ttl === undefined ? [] : `expires after ${describeTtl(ttl)}`,
      ].flat();
      return behind.length === 0 ? name : `${name} (${behind.join("; ")})`;
    })
    .join(", ");
}

function distributionsOf(states: AnyOperatorStateDescriptors): Readonly<Record<string, Distribution>> {
  const names = Object.keys(states).sort();
  return Object.fromEntries(names.map((name) => [name, distributions[states[name]!.kind]]));
}

export const isSource = ({ bounded }: OperatorPlan): boolean => bounded !== undefined;
export const isSink = ({ guarantee }: OperatorPlan): boolean => guarantee !== undefined;

/** `words`, `words.late` for its output of that tag, with the port that it leads to in brackets. */
export function describeInput({ from, output, port }: InputPlan): string {
  return `${from}${output === undefined ? "" : `.${output}`}${port === undefined ? "" : ` (${port})`}`;
}

/** What reaches a sink's target after failures, counted per record of the sources. */
export interface SinkPromise {
  readonly sink: string;
  readonly guarantee: "exactly-once" | "at-least-once" | "at-most-once" | "none";
  /** Why it is no more than that; empty for exactly-once. */
  readonly because: string;
}

/** The guarantee that a job really has, sink by sink: the sink's own, lowered by its sources, the mode, and loops. */
export function promisesOf(
  plan: GraphPlan,
  mode: CheckpointingConfig["mode"] = "exactly-once",
  iterations: CheckpointingConfig["iterations"] = "refuse",
): SinkPromise[] {
  const operators = new Map(operatorsOf(plan).map((operator) => [operator.id, operator]));
  return operatorsOf(plan)
    .filter(isSink)
    .map((sink) => {
      const lossy = operatorsBefore(sink, operators).filter(
        ({ replayable, feedback }) =>
          replayable === false || (feedback !== undefined && iterations === "force"),
      );
      return { sink: sink.id, ...promise(sink, lossy, mode) };
    });
}

function promise(
  sink: OperatorPlan,
  lossy: readonly OperatorPlan[],
  mode: CheckpointingConfig["mode"],
): Omit<SinkPromise, "sink"> {
  const exact = sink.guarantee === "exactly-once" && mode === "exactly-once";
  const repeats =
    sink.guarantee === "exactly-once"
      ? 'with checkpointing.mode "at-least-once" a record may count again after a failure where several inputs meet'
      : `the ${sink.connector} sink may write a record again after a failure`;
  const loses = lossy.map(loss).join(", and ");
  if (sink.guarantee === "none") {
    const alone = `the ${sink.connector} sink promises nothing: records may be lost or written again`;
    return { guarantee: "none", because: lossy.length === 0 ? alone : `${alone}, and ${loses}` };
  }
  if (lossy.length > 0) {
    return exact
      ? { guarantee: "at-most-once", because: loses }
      : { guarantee: "none", because: `${repeats}, and ${loses}` };
  }
  return exact
    ? { guarantee: "exactly-once", because: "" }
    : { guarantee: "at-least-once", because: repeats };
}

function loss({ id, connector, feedback }: OperatorPlan): string {
  if (feedback !== undefined)
    return `checkpointing.iterations is "force": records on their way back in loop "${id}" are lost in a failure`;
  return `source "${id}" (${connector}) cannot replay: what was read since the last completed checkpoint is lost in a failure`;
}

function operatorsBefore(sink: OperatorPlan, operators: ReadonlyMap<string, OperatorPlan>): OperatorPlan[] {
  const seen = new Set<OperatorPlan>();
  const visit = (operator: OperatorPlan | undefined) => {
    if (operator === undefined || seen.has(operator)) return;
    seen.add(operator);
    for (const { from } of operator.inputs) visit(operators.get(from));
  };
  visit(sink);
  return [...seen];
}

export function operatorsOf(plan: GraphPlan): OperatorPlan[] {
  return plan.vertices.flatMap((vertex) => vertex.operators);
}

/** The part of a configuration, or of a job's record, that says how far a failure sets the job back. */
interface Checkpointed {
  readonly restart: Pick<RestartStrategy, "strategy">;
  readonly checkpointing: Pick<CheckpointingConfig, "intervalMs" | "mode" | "unaligned" | "iterations"> & {
    readonly storage?: StorageConfig | null;
  };
}

/** Which subtasks restart together. */
type Regions = readonly (readonly SubtaskName[])[];

/** The plan for people, several lines without a last newline. */
export function describePlan(plan: GraphPlan, config?: Checkpointed, regions: Regions = []): string {
  const subtasks = plan.vertices.reduce((sum, vertex) => sum + vertex.parallelism, 0);
  const sections = [
    `${count(plan.vertices.length, "vertex", "vertices")}, ${count(subtasks, "subtask")}, ` +
      count(plan.maxParallelism, "key group"),
    ...plan.vertices.map(describeVertex),
  ];
  if (plan.edges.length > 0) {
    const rows = plan.edges.map((edge) => [edge.id, `${edge.from} -> ${edge.to}`, exchangeOf(edge)]);
    sections.push(`edges\n${table(rows)}`);
  }
  if (regions.length > 1)
    sections.push(
      `${count(regions.length, "region")}: each fails and starts again alone\n${table(regions.map(describeRegion))}`,
    );
  const { mode, iterations } = config?.checkpointing ?? {};
  const promises = promisesOf(plan, mode, iterations).map(({ sink, guarantee, because }) => [
    sink,
    because === "" ? guarantee : `${guarantee}: ${because}`,
  ]);
  sections.push(`guarantees\n${table(promises)}`);
  const staying = operatorsOf(plan).flatMap(describeStaying);
  if (staying.length > 0) sections.push(`state that stays\n${table(staying)}`);
  if (config !== undefined) sections.push(describeCheckpoints(plan, config));
  if (config?.checkpointing.storage?.kind === "memory")
    sections.push(describeMemory(config.checkpointing.storage.stateBytesMax));
  if (config?.checkpointing.unaligned && plan.edges.length > 0) sections.push(describeOvertaking(plan));
  if (iterations !== undefined && plan.edges.some(({ feedback }) => feedback))
    sections.push(describeFeedback(plan, iterations));
  return sections.join("\n\n");
}

function exchangeOf({ partitioner, feedback }: EdgePlan): string {
  return feedback ? `${partitioner}, feedback` : partitioner;
}

/**
 * The edges on which barriers of unaligned checkpoints may overtake records: all of them, whatever their partitioner. A
 * barrier is noticed where it arrives; what lies in front of it is stored as records, each of which can be routed
 * again; and committables never travel over edges.
 */
function describeOvertaking(plan: GraphPlan): string {
  const rows = plan.edges.map((edge) => [edge.id, exchangeOf(edge), "barriers may overtake records"]);
  return `unaligned checkpoints\n${table(rows)}`;
}

/** One line, however many subtasks. */
function describeRegion(subtasks: Regions[number]): string[] {
  const shown = subtasks.slice(0, REGION_SUBTASKS_SHOWN).join(", ");
  const more = subtasks.length - REGION_SUBTASKS_SHOWN;
  return [more > 0 ? `${shown} and ${more} more` : shown];
}

/** What becomes of the records on their way back when the barrier of an aligned checkpoint or savepoint passes. */
function describeFeedback(plan: GraphPlan, iterations: CheckpointingConfig["iterations"]): string {
  const fate =
    iterations === "force"
      ? "its records are lost in a failure"
      : "its records are stored with each checkpoint";
  const rows = plan.edges.filter(({ feedback }) => feedback).map(({ id }) => [id, fate]);
  return `feedback\n${table(rows)}`;
}

function describeVertex(vertex: VertexPlan): string {
  const rows = vertex.operators.map((operator) => [
    operator.id,
    describeOperator(operator),
    operator.inputs.length === 0 ? "" : `<- ${operator.inputs.map(describeInput).join(", ")}`,
  ]);
  return `${vertex.id} (${count(vertex.parallelism, "subtask")})\n${table(rows)}`;
}

function describeOperator(operator: OperatorPlan): string {
  const { kind, windows, connector, bounded, replayable, guarantee, ownStates, feedback } = operator;
  const states = describeStates(operator);
  const unkeyed = Object.keys(operator.operatorStates ?? {});
  const details = [
    connector,
    windows,
    feedback === undefined ? undefined : `fed back by ${feedback.join(", ")}`,
    bounded === undefined ? undefined : bounded ? "bounded" : "unbounded",
    replayable === false ? "cannot replay" : undefined,
    guarantee === "none" ? "no guarantee" : guarantee,
    ownStates || states === "" ? undefined : `state ${states}`,
    unkeyed.length === 0 ? undefined : `operator state ${unkeyed.join(", ")}`,
  ].filter((detail) => detail !== undefined);
  return details.length === 0 ? kind : `${kind} (${details.join(", ")})`;
}

/** State that grows with the number of keys, because nothing removes it but what the author calls. */
function describeStaying({ id, states = [], stateTtls = {}, ownStates }: OperatorPlan): string[][] {
  const kept = ownStates
    ? states.filter(isStateOfKeys)
    : states.some((name) => name in timerStates)
      ? []
      : states.filter((name) => stateTtls[name] === undefined && stateOfTimes(name) === undefined);
  if (kept.length === 0) return [];
  const why = ownStates ? "windows leave it with its key" : "no time to live, and no timers";
  return [[id, kept.join(", "), `${why}: keys that do not come again keep it until it is cleared`]];
}

function describeCheckpoints(plan: GraphPlan, config: Checkpointed): string {
  const { intervalMs, mode, unaligned } = config.checkpointing;
  const kind = unaligned ? ", unaligned" : mode === "at-least-once" ? ", at-least-once" : "";
  if (intervalMs !== null) return `checkpoints every ${formatDuration(intervalMs)}${kind}`;
  const bounded = operatorsOf(plan).every((operator) => operator.bounded !== false);
  const end = bounded ? "; one is taken at its end" : "";
  const repeats = repeatedByRestartOf(plan);
  if (config.restart.strategy === "none")
    return (
      `checkpoints off: the first failure ends the job${repeats === undefined ? "" : `, since a restart would ${repeats}`}` +
      `${end}. Set checkpointing.interval to go on after failures, or restart.strategy to begin again at the start`
    );
  const again = "after a failure the job begins again at its start";
  return `checkpoints off: ${again}${repeats === undefined ? "" : `: that will ${repeats}`}${end}`;
}

function describeMemory(stateBytesMax: number): string {
  return (
    `checkpoints in the memory of the leading coordinator, at most ${formatSize(stateBytesMax)} of a state: a worker that ` +
    "dies loses nothing, but with the coordinator's process all of them are lost, and the job stops. Only savepoints are " +
    "kept elsewhere"
  );
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** Aligned columns, indented. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("   "));
  return lines.map((line) => `  ${line.trimEnd()}`).join("\n");
}
