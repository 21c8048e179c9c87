/** Builds a drawn job with the engine's own builder. */
import type { Sink } from "../../../src/dataflow/sink.ts";
import type { Source } from "../../../src/dataflow/source.ts";
import {
  boundedOutOfOrderness,
  defineJob,
  type SourceOptions,
  type,
  valueState,
} from "../../../src/index.ts";
import { JobBuilder } from "../../../src/job/builder.ts";
import type { Job } from "../../../src/job/job.ts";
import type { KeyedStream } from "../../../src/job/keyed-stream.ts";
import { type Iteration, type Stream, streamOf } from "../../../src/job/stream.ts";
import type { Key, StateDescriptors } from "../../../src/state/descriptor.ts";
import {
  comesBack,
  type DrawnInput,
  type DrawnJob,
  type DrawnOperator,
  type DrawnSink,
  type DrawnSource,
  groupOf,
  IN_ORDER,
  type Item,
  kept,
  keyOf,
  lastOf,
  mapped,
  multiplied,
  rekeyed,
  round,
  stampOf,
  summed,
  told,
  visited,
  wound,
} from "./drawing.ts";
import { applyCombined } from "./operators/hot-keys.ts";
import { applyBuffer, applyRules } from "./operators/operator-state.ts";
import { applyRelay } from "./operators/relays.ts";
import { applyRequest, type CallService } from "./operators/requests.ts";
import { applyMark, applyPair, applySplit } from "./operators/two-inputs.ts";
import { boundOf, isTimed } from "./oracle/windows.ts";
import { applyAudited } from "./time/audits.ts";
import { applyJoin, applyPassing } from "./time/joins.ts";
import { applySumming } from "./time/summed.ts";
import { applyTimed } from "./time/timed-operators.ts";
import { applyPause } from "./time/timers.ts";

/** What lies outside of a job: where its records come from and go to, and the service that it asks. */
export interface Ends {
  source(drawn: DrawnSource): Source<Item>;
  sink(drawn: DrawnSink): Sink<Item>;
  readonly callService: CallService;
}

export function buildJob(name: string, drawn: DrawnJob, ends: Ends): Job {
  return defineJob(name, drawn.options, (builder) => {
    const streams = new Map<string, Stream<Item>>();
    const read = (inputs: readonly DrawnInput[]): Stream<Item> => {
      const [first, ...others] = inputs.map(({ from, output, exchange }) => {
        const stream = streams.get(output === undefined ? from : `${from}.${output}`)!;
        return exchange === "forward" ? stream : stream[exchange]();
      });
      const [second, ...more] = others;
      return second === undefined ? first! : first!.union(second, ...more);
    };
    for (const one of drawn.sources)
      streams.set(one.id, builder.source(one.id, ends.source(one), sourceOptionsOf(one)));
    for (const operator of drawn.operators) {
      const ports = operator.ports.map(read);
      for (const [output, stream] of applied({ builder, drawn, call: ends.callService }, operator, ports))
        streams.set(output === "" ? operator.id : `${operator.id}.${output}`, stream);
    }
    for (const sink of drawn.sinks)
      read(sink.inputs).sink(sink.id, ends.sink(sink), { parallelism: sink.parallelism });
  });
}

function sourceOptionsOf({ parallelism, time }: DrawnSource): SourceOptions<Item> {
  if (time === undefined) return { parallelism };
  return {
    parallelism,
    timestamp: (item) => stampOf(time, item),
    watermarks: boundedOutOfOrderness(boundOf(time.bound)),
    watermarkInterval: time.intervalMs,
    idleAfter: time.idleAfterMs,
    ...(time.alignment !== undefined && {
      alignment: {
        group: "aligned",
        maxDrift: time.alignment.maxDriftMs,
        interval: time.alignment.intervalMs,
        whileBehind: time.alignment.whileBehind,
      },
    }),
  };
}

function restamped(
  { id, boundMs, intervalMs, parallelism }: Extract<DrawnOperator, { readonly kind: "restamp" }>,
  input: Stream<Item>,
): Stream<Item> {
  const definition = {
    timestamp: (item: Item) => stampOf(IN_ORDER, item),
    watermarks: boundedOutOfOrderness(boundMs),
    watermarkInterval: intervalMs,
  };
  return input.assignTimestamps(id, definition, { parallelism });
}

interface Surroundings {
  readonly builder: JobBuilder;
  readonly drawn: DrawnJob;
  readonly call: CallService;
}

/** The streams by output; "" is the main one. */
function applied(
  { builder, drawn, call }: Surroundings,
  operator: DrawnOperator,
  ports: readonly Stream<Item>[],
): readonly (readonly [string, Stream<Item>])[] {
  const { id } = operator;
  const [input, other] = ports as [Stream<Item>, Stream<Item>];
  const draft = JobBuilder.draftOf(builder);
  if (isTimed(operator)) return applyTimed(operator, input);
  switch (operator.kind) {
    case "pair":
      return [
        ["", applyPair(operator, input.keyBy(keyOf[operator.keys]), other.keyBy(keyOf[operator.keys]))],
      ];
    case "intervalJoin":
    case "windowJoin":
    case "coGroup":
    case "versionedJoin":
      return applyJoin(operator, input.keyBy(keyOf[operator.keys]), other.keyBy(keyOf[operator.keys]));
    case "lookup":
    case "gather":
      return [
        ["", applyPassing(operator, input.keyBy(keyOf[operator.keys]), other.keyBy(keyOf[operator.keys]))],
      ];
    case "clockWindow":
    case "countWindow":
    case "migrating":
    case "hourglass":
    case "mortal":
      return [["", applySumming(operator, input.keyBy(keyOf[operator.keys]))]];
    case "auditedInterval":
    case "auditedWindow":
      return [["", applyAudited(operator, drawn, [input, other])]];
    case "rules":
      return [["", applyRules(operator, input, other)]];
    case "request":
      return applyRequest(operator, input, call);
    case "buffer":
      return [["", applyBuffer(operator, input)]];
    case "combined":
      return [["", applyCombined(operator, input)]];
    case "relay":
      return [["", applyRelay(operator, input)]];
    case "restamp":
      return [["", restamped(operator, input)]];
    case "pause":
      return [["", applyPause(operator, input.keyBy(keyOf[operator.keys]))]];
    case "mark":
      applyMark(draft, operator, input, other);
      return [["", streamOf(draft, id)]];
    case "split":
      applySplit(draft, operator, input);
      return [
        ["", streamOf(draft, id)],
        ["odd", streamOf(draft, id, "odd")],
      ];
    default:
      return [["", apply(operator, input)]];
  }
}

function apply(operator: DrawnOperator, input: Stream<Item>): Stream<Item> {
  const { id, parallelism } = operator;
  const options = { parallelism };
  switch (operator.kind) {
    case "map":
      return input.map(id, (item) => mapped(operator, item), options);
    case "rekey":
      return input.map(id, (item) => rekeyed(operator, item), options);
    case "filter":
      return input.filter(id, (item) => kept(operator, item), options);
    case "flatMap":
      return input.flatMap(id, (item) => multiplied(operator, item), options);
    case "loop":
      return loop(operator, input);
    case "reduce": {
      const first = (item: Item) => told(id, groupOf(keyOf[operator.keys](item)), 1);
      return input
        .map(`${id}-one`, first, options)
        .keyBy(({ key }) => key)
        .reduce(id, (all, { at }) => told(id, all.key, all.at + at), options);
    }
    case "count":
    case "every":
    case "first":
    case "rounds":
    case "total":
    case "collection":
      return keyed(operator.kind, id, input.keyBy(keyOf[operator.keys]), options);
    default:
      throw new Error(`operator ${operator.kind} has a method of its own`);
  }
}

type Options = { readonly parallelism: number };

function keyed(
  kind: "count" | "every" | "first" | "rounds" | "total" | "collection",
  id: string,
  input: KeyedStream<Item, Key>,
  options: Options,
): Stream<Item> {
  switch (kind) {
    case "count":
      return counting(id, 1, input, options);
    case "every":
      return counting(id, 2, input, options);
    case "first":
      return input.process(
        id,
        {
          state: { seen: valueState(false) },
          output: type<Item>(),
          onRecord(_, { key, state, emit }) {
            if (state.seen.get()) return;
            state.seen.set(true);
            emit(told(id, groupOf(key), 1));
          },
        },
        options,
      );
    case "rounds":
      // What is cleared must stay cleared.
      return input.process(
        id,
        {
          state: { since: valueState(0), rounds: valueState(0) },
          output: type<Item>(),
          onRecord(_, { key, state, emit }) {
            state.since.set(state.since.get() + 1);
            if (state.since.get() < 3) return;
            state.since.clear();
            state.rounds.set(state.rounds.get() + 1);
            emit(told(id, groupOf(key), state.rounds.get()));
          },
        },
        options,
      );
    case "total":
      return totaling(id, input, options);
    case "collection":
      return collecting(id, input, options);
  }
}

function counting(id: string, every: number, input: KeyedStream<Item, Key>, options: Options): Stream<Item> {
  return input.process(
    id,
    {
      state: { count: valueState(0) },
      output: type<Item>(),
      onRecord(_, { key, state, emit }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        if (count % every === 0) emit(told(id, groupOf(key), count / every));
      },
    },
    options,
  );
}

/** A row of one stable shape. */
function totaling(id: string, input: KeyedStream<Item, Key>, options: Options): Stream<Item> {
  return input.process(
    id,
    {
      state: { total: valueState({ count: 0, sum: 0 }) },
      output: type<Item>(),
      onRecord({ n }, { key, state, emit }) {
        const { count, sum } = state.total.get();
        state.total.set({ count: count + 1, sum: sum + n });
        emit(told(id, groupOf(key), count + 1));
      },
      onEnd({ key, state }) {
        const { count, sum } = state.total.get();
        return summed(id, groupOf(key), count, sum);
      },
    },
    options,
  );
}

/** Values that grow, and rows whose shape changes. */
function collecting(id: string, input: KeyedStream<Item, Key>, options: Options): Stream<Item> {
  return input.process(
    id,
    {
      state: { all: valueState<readonly number[]>([]), last: valueState<unknown>(null) },
      output: type<Item>(),
      onRecord({ n }, { state }) {
        state.all.set([...state.all.get(), n]);
        state.last.set(lastOf(n) as object);
      },
      onEnd({ key, state }) {
        const all = state.all.get();
        return summed(
          id,
          groupOf(key),
          all.length,
          all.reduce((sum, n) => sum + n, 0),
        );
      },
    },
    options,
  );
}

function loop(
  operator: Extract<DrawnOperator, { readonly kind: "loop" }>,
  input: Stream<Item>,
): Stream<Item> {
  const { id, parallelism, feedback, visits } = operator;
  const options = { parallelism };
  const step = (items: Stream<Item>): Iteration<Item, Item> => {
    const round_ =
      visits === undefined ? items.map(`${id}-round`, round, options) : visiting(id, visits, items, options);
    const again = round_.filter(`${id}-again`, comesBack, options);
    return {
      feedback:
        feedback === "hash"
          ? again.keyBy(({ key }) => key)
          : feedback === "forward"
            ? again
            : again.rebalance(),
      output: round_.filter(`${id}-out`, (item) => !comesBack(item), options),
    };
  };
  return input.map(`${id}-wound`, wound, options).iterate(id, step, options);
}

function visiting(id: string, keys: keyof typeof keyOf, items: Stream<Item>, options: Options): Stream<Item> {
  const state = { visits: valueState(0) } satisfies StateDescriptors;
  return items.keyBy(keyOf[keys]).process(
    `${id}-round`,
    {
      state,
      output: type<Item>(),
      onRecord(item, context) {
        const count = context.state.visits.get() + 1;
        context.state.visits.set(count);
        context.emit(visited(id, groupOf(context.key), count));
        context.emit(round(item));
      },
    },
    options,
  );
}
