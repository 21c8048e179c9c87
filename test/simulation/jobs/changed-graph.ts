/** The graph of a job without some of its operators; and a job that goes on without one, or without its state. */
import type { Random } from "../../chaos/random.ts";
import type { DrawnChange, DrawnInput, DrawnJob, DrawnLife, DrawnOperator, DrawnSink } from "./drawing.ts";

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

const inputOf = (from: string, output: "odd" | undefined, exchange: DrawnInput["exchange"]): DrawnInput =>
  output === undefined ? { from, exchange } : { from, output, exchange };

const SHARE = 0.5;

/**
 * In one of its lives the job is restored from a savepoint without the state of one operator, which begins anew or is
 * there no more.
 */
export function withChange(drawn: DrawnJob, random: Random): DrawnJob {
  const { acts, operators } = drawn;
  const at = acts.findIndex(({ kind, becomes }) => becomes !== undefined && kind !== "cancel");
  if (at < 0 || !isForetold(drawn) || random.next() >= SHARE) return drawn;
  const keyed = operators.filter((one) => "keys" in one);
  if (keyed.length === 0) return drawn;
  const { id, ports } = random.pick(keyed);
  const [input, ...more] = ports.flat();
  const mayGo = more.length === 0 && !isReadBeside(drawn, id, input!);
  const then = mayGo && random.next() < 0.5 ? "is gone" : "begins anew";
  const change: DrawnChange = { operator: id, then };
  const changed = (life: DrawnLife): DrawnLife =>
    then === "is gone"
      ? { ...life, ...withoutOperators({ ...life, sinks: drawn.sinks }, new Set([id])) }
      : life;
  return {
    ...drawn,
    reordered: true,
    acts: acts.map((act, i) => {
      if (act.becomes === undefined || i < at) return act;
      // The first of them that is restored makes the change.
      const becomes = changed(act.becomes);
      return { ...act, becomes: { ...becomes, change } };
    }),
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
