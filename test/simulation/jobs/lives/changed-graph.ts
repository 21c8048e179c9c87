/** The graph of a job without some of its operators; and a job that goes on without one, or without its state. */
import type { Random } from "../../../chaos/random.ts";
import type {
  DrawnAct,
  DrawnChange,
  DrawnInput,
  DrawnJob,
  DrawnLife,
  DrawnOperator,
  DrawnSink,
} from "../drawing.ts";

interface Graph {
  readonly operators: readonly DrawnOperator[];
  readonly sinks: readonly DrawnSink[];
}

/** The graph without these operators: their readers read what they had read. */
export function withoutOperators({ operators, sinks }: Graph, gone: ReadonlySet<string>): Graph {
  const ports = new Map(operators.map((one) => [one.id, one.ports.flat()]));
  const behind = (input: DrawnInput): readonly DrawnInput[] =>
    gone.has(input.from)
      ? ports
          .get(input.from)!
          .flatMap(behind)
          .map(({ from, output }) => inputOf(from, output, input.exchange))
      : [input];
  const rewired = (inputs: readonly DrawnInput[]): readonly DrawnInput[] => {
    const streams = new Map(inputs.flatMap(behind).map((one) => [`${one.from} ${one.output}`, one]));
    return [...streams.values()];
  };
  return {
    operators: operators
      .filter(({ id }) => !gone.has(id))
      .map((one) => ({ ...one, ports: one.ports.map(rewired) })),
    sinks: sinks.map((sink) => ({ ...sink, inputs: rewired(sink.inputs) })),
  };
}

/** The same job, in all of its lives, with this operator in the place of the one of its id. */
export function withOperator(drawn: DrawnJob, operator: DrawnOperator): DrawnJob {
  const other = (operators: readonly DrawnOperator[]): DrawnOperator[] =>
    operators.map((one) => (one.id === operator.id ? operator : one));
  const acts = drawn.acts.map(
    (act): DrawnAct =>
      act.becomes === undefined
        ? act
        : { ...act, becomes: { ...act.becomes, operators: other(act.becomes.operators) } },
  );
  return { ...drawn, operators: other(drawn.operators), acts };
}

/** The same job with one more operator, in all of its lives. */
export function withAdded(job: DrawnJob, operator: DrawnOperator, sinks: readonly DrawnSink[]): DrawnJob {
  const acts = job.acts.map(
    (act): DrawnAct =>
      act.becomes === undefined
        ? act
        : { ...act, becomes: { ...act.becomes, operators: [...act.becomes.operators, operator] } },
  );
  return { ...job, acts, operators: [...job.operators, operator], sinks: [...job.sinks, ...sinks] };
}

/** A sink that takes a side output of an operator. */
export function sideSink(
  random: Random,
  { id, parallelism }: Pick<DrawnOperator, "id" | "parallelism">,
  output: NonNullable<DrawnInput["output"]>,
): DrawnSink {
  return {
    id: `${id}-${output}-out`,
    inputs: [{ from: id, output, exchange: "forward" }],
    parallelism,
    guarantee: random.next() < 0.8 ? "exactly-once" : "at-least-once",
    partMessagesMax: 20,
  };
}

const inputOf = (from: string, output: DrawnInput["output"], exchange: DrawnInput["exchange"]): DrawnInput =>
  output === undefined ? { from, exchange } : { from, output, exchange };

const SHARE = 0.5;

/**
 * In one of its lives the job is restored from a savepoint without the state of one operator, which begins anew or is
 * there no more; or with an operator that was not there before.
 */
export function withChange(drawn: DrawnJob, random: Random): DrawnJob {
  const { operators } = drawn;
  if (!isForetold(drawn) || random.next() >= SHARE) return drawn;
  const isPlace = ({ kind, becomes }: DrawnAct) => becomes !== undefined && kind !== "cancel";
  const acts = drawn.acts.some(isPlace) ? drawn.acts : [...drawn.acts, stopOf(drawn, random)];
  const at = acts.findIndex(isPlace);
  const keyed = operators.filter((one) => "keys" in one);
  if (keyed.length === 0) return drawn;
  const { id, ports } = random.pick(keyed);
  const [input, ...more] = ports.flat();
  const mayLack = more.length === 0 && !isReadBeside(drawn, id, input!);
  const then = mayLack ? random.pick(["is gone", "is new", "begins anew"] as const) : "begins anew";
  const change: DrawnChange = { operator: id, then };
  const { sinks } = drawn;
  const without = <G extends DrawnJob | DrawnLife>(graph: G): G => ({
    ...graph,
    ...withoutOperators({ ...graph, sinks }, new Set([id])),
  });
  const first = then === "is new" ? without(drawn) : drawn;
  return {
    ...first,
    reordered: true,
    acts: acts.map(({ becomes, ...act }, i) => {
      if (becomes === undefined) return act;
      if (i < at) return { ...act, becomes: then === "is new" ? without(becomes) : becomes };
      // What a checkpoint holds may still be on its way.
      if (act.kind === "cancel") return act;
      // The first of them that is restored makes the change.
      const life = then === "is gone" ? without(becomes) : { ...becomes, sinks };
      return { ...act, becomes: { ...life, change } };
    }),
  };
}

/** The job stops with a savepoint, and goes on from there under another name. */
function stopOf({ operators, options, worker }: DrawnJob, random: Random): DrawnAct {
  const becomes = { name: "changed", operators, options, worker };
  return {
    kind: "stop",
    afterMs: 300 + random.next() * 6000,
    pauseMs: 0,
    claims: random.next() < 0.4,
    becomes,
  };
}

/** A stream is read once at each port, so what reads both would miss what has come twice. */
function isReadBeside({ operators, sinks }: Graph, id: string, { from, output }: DrawnInput): boolean {
  const all = [...operators.flatMap((one) => one.ports), ...sinks.map((sink) => sink.inputs)];
  return all.some(
    (inputs) =>
      inputs.some((one) => one.from === id) &&
      inputs.some((one) => one.from === from && one.output === output),
  );
}

/** What is in front of a savepoint has gone through all operators, and none has ended. */
function isForetold({ sources, operators, options }: DrawnJob): boolean {
  const stays = sources.every(({ bounded, retention }) => !bounded && retention === undefined);
  return (
    stays && options.checkpointing?.mode !== "at-least-once" && operators.every(({ kind }) => kind !== "loop")
  );
}
