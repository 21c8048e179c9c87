/**
 * What a drawn job must put out: computed with arrays and maps from the drawing alone, by no code of the engine's.
 *
 * - EO1 Each stream is a multiset of items. No operator's output depends on the order in which its records come.
 * - EO2 A stream also tells what may differ in a run: `lacks` (items were lost by rule), `repeats`, `beyond` (a keyed
 *   operator that saw repetitions has told more than it would have) and `vague` (the numbers in it cannot be foretold).
 * - EO3 Where all ways of the items of one maker, or of one maker and key, keep their order, `order` says so.
 */
import {
  comesBack,
  type DrawnChange,
  type DrawnInput,
  type DrawnJob,
  type DrawnOperator,
  type DrawnSink,
  groupOf,
  type Item,
  isOdd,
  type KeyKind,
  kept,
  keyOf,
  late,
  mapped,
  marked,
  multiplied,
  rekeyed,
  round,
  summed,
  told,
  visited,
  wound,
} from "../drawing.ts";
import { relayed } from "../further-functions.ts";
import { summedUp } from "./conserved.ts";
import { counted, textOf } from "./findings.ts";
import { buffered, governed, passed, paused, requested } from "./held.ts";
import { type JoinOperator, joined, outside } from "./joined.ts";
import {
  boundOf,
  disorderOf,
  isTimed,
  type TimedOperator,
  type TimeOf,
  timesIn,
  windowed,
} from "./windows.ts";

/** What is kept: the order of each maker's items, of each maker's items of one key, or none. */
export type Order = "of-maker" | "of-key" | "none";

export interface Expected {
  readonly items: readonly Item[];
  /** All that may be named in `by`, whether an item of it is expected or not. */
  readonly makers: ReadonlySet<string>;
  readonly parallelism: number;
  readonly order: Order;
  readonly lacks: boolean;
  readonly repeats: boolean;
  readonly beyond: boolean;
  readonly vague: boolean;
  /** The timestamps of its items can be foretold. */
  readonly timed: boolean;
  /** An operator in front of it may hold some of it when a snapshot is taken. */
  readonly delays: boolean;
  /** All of its input has ended. */
  readonly ended: boolean;
  /** There is something in it, or in what led to it, that is told at the end. */
  readonly tellsEnd: boolean;
}

/** How the oracle sees a run. */
export interface Circumstances {
  /** The splits of each source, as far as they were read. Default: all that was drawn. */
  readonly read?: ReadonlyMap<string, readonly (readonly Item[])[]>;
  /** Unbounded input has ended, too, because the job was drained. Default true. */
  readonly drained?: boolean;
  /**
   * What is told at the end may be there or not, with any numbers: everywhere, or at sinks without transactions.
   * Default "nowhere".
   */
  readonly endsVaguely?: "everywhere" | "plain-sinks" | "nowhere";
  /** Operators that went on without state or came anew, and how far the input was read by then. Default: none. */
  readonly changes?: readonly Changed[];
  /** What transactional sinks held pending may be there twice. Default false. */
  readonly writtenAgain?: boolean;
}

/** A change, and where it was made. */
export interface Changed extends DrawnChange {
  readonly read: ReadonlyMap<string, readonly (readonly Item[])[]>;
}

/** What must come out at each sink, by its id. */
export function expectedAt(job: DrawnJob, circumstances: Circumstances = {}): ReadonlyMap<string, Expected> {
  return streamsOf(job, circumstances).sinks;
}

/** What comes in at one operator, by port. */
export function expectedInputs(job: DrawnJob, operator: string): readonly Expected[] {
  return streamsOf(job).inputs.get(operator)!;
}

export interface Streams {
  /** What comes in at each operator, by its id and by port. */
  readonly inputs: ReadonlyMap<string, readonly Expected[]>;
  /** What comes out at each sink, by its id. */
  readonly sinks: ReadonlyMap<string, Expected>;
}

export function streamsOf(job: DrawnJob, circumstances: Circumstances = {}): Streams {
  const streams = new Map<string, Expected>();
  const allInputs = new Map<string, readonly Expected[]>();
  const { read, drained = true, endsVaguely = "nowhere", changes = [] } = circumstances;
  const repeats = job.options.checkpointing?.mode === "at-least-once";
  const context = {
    endsVaguely: endsVaguely === "everywhere",
    force: job.options.checkpointing?.iterations === "force",
    job,
    timeOf: timesIn(job),
  };
  for (const { id, splits, parallelism, bounded, time } of job.sources) {
    const makers = new Set(splits.map((_, i) => `${id}/${i}`));
    const items = (read?.get(id) ?? splits).flat();
    const exact = {
      lacks: false,
      repeats,
      beyond: false,
      vague: false,
      ended: bounded || drained,
      timed: time !== undefined,
      delays: false,
      tellsEnd: false,
    };
    streams.set(id, { items, makers, parallelism, order: job.reordered ? "none" : "of-maker", ...exact });
  }
  for (const operator of job.operators) {
    const ports = operator.ports.map((inputs) => merged(inputs, streams, operator.parallelism));
    allInputs.set(operator.id, ports);
    const change = changes.find((one) => one.operator === operator.id);
    const results =
      change === undefined
        ? resultsOf(operator, ports, context)
        : changedResults(job, operator, ports, context, change);
    for (const [output, stream] of results)
      streams.set(
        output === "" ? operator.id : `${operator.id}.${output}`,
        job.reordered ? { ...stream, order: "none" } : stream,
      );
  }
  const sinks = job.sinks.map((sink) => {
    const stream = merged(sink.inputs, streams, sink.parallelism);
    return [sink.id, written(sink, stream, circumstances)] as const;
  });
  return { inputs: allInputs, sinks: new Map(sinks) };
}

function written({ guarantee }: DrawnSink, stream: Expected, circumstances: Circumstances): Expected {
  const { endsVaguely = "nowhere", changes = [], writtenAgain = false } = circumstances;
  if (guarantee === "exactly-once" && !writtenAgain) return stream;
  // It may also hold what came behind a cut, from the graph as it was.
  const vague = stream.vague || changes.length > 0 || (endsVaguely !== "nowhere" && stream.tellsEnd);
  return { ...stream, repeats: true, order: "none", vague };
}

/** What comes in at one port, before it is dealt by key. */
function merged(
  inputs: readonly DrawnInput[],
  streams: ReadonlyMap<string, Expected>,
  parallelism: number,
): Expected {
  const parts = inputs.map(({ from, output, exchange }) => {
    const stream = streams.get(output === undefined ? from : `${from}.${output}`)!;
    const times = exchange === "broadcast" ? parallelism : 1;
    const stays = exchange === "forward" ? stream.parallelism === parallelism : parallelism === 1;
    return {
      ...stream,
      items: Array.from({ length: times }, () => stream.items).flat(),
      order: stays ? stream.order : "none",
    };
  });
  return { ...together(parts), parallelism };
}

function together(parts: readonly Expected[]): Expected {
  const [first] = parts;
  if (parts.length === 1) return first!;
  const makers = new Set(parts.flatMap(({ makers }) => [...makers]));
  const apart = makers.size === parts.reduce((sum, part) => sum + part.makers.size, 0);
  const orders = parts.map(({ order }) => order);
  const weakest = (["none", "of-key", "of-maker"] as const).find((order) => orders.includes(order))!;
  return {
    items: parts.flatMap(({ items }) => items),
    makers,
    parallelism: first!.parallelism,
    order: apart ? weakest : "none",
    lacks: parts.some(({ lacks }) => lacks),
    repeats: parts.some(({ repeats }) => repeats),
    beyond: parts.some(({ beyond }) => beyond),
    vague: parts.some(({ vague }) => vague),
    ended: parts.every(({ ended }) => ended),
    timed: parts.every(({ timed }) => timed),
    delays: parts.some(({ delays }) => delays),
    tellsEnd: parts.some(({ tellsEnd }) => tellsEnd),
  };
}

interface Context {
  readonly endsVaguely: boolean;
  /** Records on their way back in a loop are lost in a failure. */
  readonly force: boolean;
  readonly job: DrawnJob;
  readonly timeOf: TimeOf;
}

/** The results by output; "" is the main one. */
function resultsOf(
  operator: DrawnOperator,
  ports: readonly Expected[],
  context: Context,
): readonly (readonly [string, Expected])[] {
  const input = ports[0]!;
  const { items } = input;
  switch (operator.kind) {
    case "map":
      return [["", { ...input, items: items.map((item) => mapped(operator, item)) }]];
    case "rekey":
      return [
        [
          "",
          {
            ...input,
            items: items.map((item) => rekeyed(operator, item)),
            order: input.order === "of-maker" ? "of-maker" : "none",
          },
        ],
      ];
    case "filter":
      return [["", { ...input, items: items.filter((item) => kept(operator, item)) }]];
    case "flatMap":
      return [["", { ...input, items: items.flatMap((item) => multiplied(operator, item)) }]];
    case "split":
      return [
        ["", { ...input, items: items.filter((item) => !isOdd(item)) }],
        ["odd", { ...input, items: items.filter(isOdd) }],
      ];
    case "mark": {
      const sides = ports.map((one, port) => ({
        ...one,
        items: one.items.map((item) => marked(operator, item, port)),
      }));
      return [["", together(sides)]];
    }
    case "loop":
      return [["", looped(operator, input, context)]];
    case "request":
      return requested(operator, input);
    case "buffer":
      return [["", buffered(input, context.endsVaguely)]];
    case "restamp":
      return [["", { ...input, timed: true }]];
    case "relay":
      return [["", passedOn(operator, input)]];
    case "pause":
      return [["", paused(operator, input)]];
    case "rules":
      return [["", governed(operator, ports as [Expected, Expected], context.endsVaguely)]];
    case "intervalJoin":
    case "windowJoin":
    case "coGroup":
    case "versionedJoin":
      return joinedAt(operator, ports, context);
    case "lookup":
    case "gather":
      return [["", passed(operator, ports as [Expected, Expected], together(ports), context.endsVaguely)]];
    case "clockWindow":
    case "countWindow":
    case "migrating":
    case "hourglass":
    case "mortal":
    case "auditedInterval":
    case "auditedWindow":
      return [["", summedUp(operator, together(ports), context.endsVaguely)]];
    default:
      return isTimed(operator) ? timed(operator, input, context) : [["", keyed(operator, ports, context)]];
  }
}

function timed(
  operator: TimedOperator,
  input: Expected,
  { job, timeOf, endsVaguely }: Context,
): readonly (readonly [string, Expected])[] {
  const { id, kind, parallelism } = operator;
  const disordered = [...input.makers].flatMap((maker) => disorderOf(job, maker) ?? []);
  const inOneOrder = input.makers.size === 1 && input.order === "of-maker";
  const mayForetell =
    input.ended &&
    input.timed &&
    (disordered.length === 0 || (inOneOrder && kind !== "timer" && kind !== "expiring"));
  const bound = disordered[0]?.time?.bound;
  const outcome = mayForetell
    ? windowed(operator, input.items, timeOf, bound === undefined ? undefined : boundOf(bound))
    : undefined;
  const { results, late } = outcome ?? { results: [], late: [] };
  const vague =
    outcome === undefined || input.vague || input.repeats || input.lacks || input.beyond || endsVaguely;
  const common = { ...input, parallelism, timed: !vague, vague, tellsEnd: true } as const;
  const isSettled = kind === "triggered" || kind === "patient";
  const order = vague || isSettled ? "none" : "of-key";
  // What an operator behind the windows has seen twice is no sign of a fault.
  const makers = new Set(isSettled && input.repeats ? [id, `${id}.stray`] : [id]);
  return [
    ["", { ...common, items: results, makers, order }],
    ["late", { ...common, items: late, makers: new Set([`${id}.late`]), order: "none", timed: false }],
  ];
}

/** Which pairs there are can be foretold where no record can come late. */
function joinedAt(
  operator: JoinOperator,
  ports: readonly Expected[],
  { job, timeOf, endsVaguely }: Context,
): readonly (readonly [string, Expected])[] {
  const both = together(ports);
  const mayBeLate = [...both.makers].some((maker) => disorderOf(job, maker) !== undefined);
  const mayForetell = both.ended && both.timed && !mayBeLate;
  const inputs = ports.map(({ items }) => items);
  const results = mayForetell ? joined(operator, inputs, timeOf) : undefined;
  const outsiders = mayForetell
    ? inputs.flatMap((items) => outside(operator, items, timeOf)).map((item) => late(operator.id, item))
    : [];
  const vague =
    results === undefined || both.vague || both.repeats || both.lacks || both.beyond || endsVaguely;
  const common = {
    ...both,
    parallelism: operator.parallelism,
    order: "none",
    vague,
    tellsEnd: true,
  } as const;
  return [
    ["", { ...common, items: results ?? [], makers: new Set([operator.id]), timed: !vague }],
    ["late", { ...common, items: outsiders, makers: new Set([`${operator.id}.late`]), timed: false }],
  ];
}

/** Each record has gone through the operator as it was, or as it is. */
function changedResults(
  job: DrawnJob,
  operator: DrawnOperator,
  ports: readonly Expected[],
  context: Context,
  { then, read }: Changed,
): readonly (readonly [string, Expected])[] {
  const before = streamsOf(job, { read, drained: false }).inputs.get(operator.id)!;
  const after = ports.map((port, i) => ({ ...port, items: without(port.items, before[i]!.items) }));
  const [[, then_]] = resultsOf(operator, after, context) as [[string, Expected]];
  const [[, before_]] = resultsOf(operator, before, context) as [[string, Expected]];
  const first = then === "is new" ? before[0]! : before_;
  const second = then === "is gone" ? after[0]! : then_;
  const makers = new Set([...first.makers, ...second.makers]);
  return [["", { ...then_, makers, items: [...first.items, ...second.items], order: "none" }]];
}

function without(items: readonly Item[], others: readonly Item[]): readonly Item[] {
  const left = counted(others);
  return items.filter((item) => {
    const text = textOf(item);
    const count = left.get(text) ?? 0;
    left.set(text, count - 1);
    return count <= 0;
  });
}

export function grouped(items: readonly Item[], keys: KeyKind): Map<number, Item[]> {
  const groups = new Map<number, Item[]>();
  for (const item of items) {
    const group = groupOf(keyOf[keys](item));
    const known = groups.get(group);
    if (known === undefined) groups.set(group, [item]);
    else known.push(item);
  }
  return groups;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

function keyed(
  operator: Extract<DrawnOperator, { readonly keys: KeyKind }>,
  ports: readonly Expected[],
  context: Context,
): Expected {
  const { id, kind, keys } = operator;
  const makers = new Set<string>();
  const items: Item[] = [];
  const tell = (by: string, key: number, count: number): void => {
    makers.add(by);
    for (const at of upTo(count)) items.push(told(by, key, at));
  };
  let vague = false;
  const input = together(ports);
  const end = (key: number, group: readonly Item[]): void => {
    const sum = group.reduce((all, { n }) => all + n, 0);
    if (input.ended) items.push(summed(id, key, group.length, sum));
  };
  ports.forEach((port, at) => {
    const by = kind === "pair" ? `${id}.${at}` : id;
    makers.add(by);
    for (const [key, group] of grouped(port.items, keys)) {
      if (kind === "count" || kind === "reduce" || kind === "combined" || kind === "pair")
        tell(by, key, group.length);
      else if (kind === "every") tell(by, key, Math.floor(group.length / 2));
      else if (kind === "first") tell(by, key, 1);
      else if (kind === "rounds") tell(by, key, Math.floor(group.length / 3));
      else {
        if (kind === "total") tell(by, key, group.length);
        end(key, group);
      }
    }
  });
  const tells = kind === "total" || kind === "collection";
  if (tells) {
    makers.add(`${id}.end`);
    vague = input.repeats || input.lacks || input.beyond || context.endsVaguely;
  }
  return {
    items,
    makers,
    parallelism: operator.parallelism,
    order: vague || tells ? "none" : "of-key",
    lacks: input.lacks,
    repeats: input.repeats,
    beyond: input.beyond || input.repeats,
    vague: input.vague || vague,
    ended: input.ended,
    timed: false,
    delays: input.delays,
    tellsEnd: input.tellsEnd || tells,
  };
}

function looped(
  { id, visits }: Extract<DrawnOperator, { readonly kind: "loop" }>,
  input: Expected,
  context: Context,
): Expected {
  const { out, visitors } = roundsOf(input.items);
  const makers = new Set(input.makers);
  if (visits !== undefined) {
    makers.add(`${id}.visit`);
    for (const [key, group] of grouped(visitors, visits))
      for (const at of upTo(group.length)) out.push(visited(id, key, at));
  }
  return {
    ...input,
    items: out,
    makers,
    timed: false,
    order: "none",
    lacks: input.lacks || context.force,
    beyond: input.beyond || (visits !== undefined && input.repeats),
  };
}

/** What leaves the actors, and what each has told of what came by. */
function passedOn(operator: Extract<DrawnOperator, { readonly kind: "relay" }>, input: Expected): Expected {
  const out: Item[] = [];
  const visitors: Item[] = [];
  for (const item of input.items) {
    let now = wound(item);
    for (; comesBack(now); now = relayed(operator, now)) visitors.push(now);
    visitors.push(now);
    out.push(now);
  }
  for (const [key, group] of grouped(visitors, "number"))
    for (const at of upTo(group.length)) out.push(visited(operator.id, key, at));
  return {
    ...input,
    items: out,
    makers: new Set([...input.makers, `${operator.id}.visit`]),
    parallelism: operator.parallelism,
    order: "none",
    timed: false,
    delays: true,
    beyond: input.beyond || input.repeats,
  };
}

/** What leaves a loop, and what goes by in it, once for each round. */
export function roundsOf(items: readonly Item[]): {
  readonly out: Item[];
  readonly visitors: readonly Item[];
} {
  const out: Item[] = [];
  const visitors: Item[] = [];
  for (const item of items) {
    let now = wound(item);
    do {
      visitors.push(now);
      now = round(now);
    } while (comesBack(now));
    out.push(now);
  }
  return { out, visitors };
}
