/**
 * A drawn job as plain data: what is built with the engine's builder (building.ts), and what the oracle computes from
 * (oracle/).
 */

import type { JobOptions } from "../../../src/config/options.ts";
import type { Limits } from "./ends/retained-stream.ts";
import type { Scale } from "./lives/rescaling.ts";

/** The one record type of all drawn jobs. */
export interface Item {
  /** The split, or the operator, that made it. */
  readonly by: string;
  readonly key: number;
  /** Its place among those of the same maker; of a keyed operator's, among those of the same key. */
  readonly at: number;
  readonly n: number;
}

/** What kind of value a key selector answers. */
export type KeyKind = "number" | "text" | "bigint" | "boolean";

export interface DrawnInput {
  /** Id of an operator. */
  readonly from: string;
  /** The tag of one of its outputs. Default: the main one. */
  readonly output?: "odd" | "late" | "failed";
  readonly exchange: "forward" | "rebalance" | "rescale" | "broadcast";
}

export const STATELESS_KINDS = ["map", "rekey", "filter", "flatMap", "split", "mark"] as const;
export const KEYED_KINDS = [
  "count",
  "every",
  "first",
  "rounds",
  "total",
  "collection",
  "reduce",
  "pair",
] as const;
/** Operators that go by event time. */
export const TIMED_KINDS = [
  "tumbling",
  "sliding",
  "cumulating",
  "timer",
  "expiring",
  "session",
  "alarm",
  "triggered",
  "combinedWindow",
  "patient",
] as const;
/** Operators that bring two streams together by event time. */
export const JOIN_KINDS = ["intervalJoin", "windowJoin", "coGroup", "versionedJoin"] as const;
/** Joins by event time that let each item of one side, or of both, through unchanged: in time, or as late. */
export const PASSING_KINDS = ["lookup", "gather"] as const;
/** Operators whose results, one by one, follow from when things happen; together they are of each item once. */
export const SUMMING_KINDS = ["clockWindow", "countWindow", "migrating", "hourglass", "mortal"] as const;
/** Joins of which all results are looked at beside what they are of, and beside what was late. */
export const AUDITED_KINDS = ["auditedInterval", "auditedWindow"] as const;

export type StatelessKind = (typeof STATELESS_KINDS)[number];
export type KeyedKind = (typeof KEYED_KINDS)[number];
export type TimedKind = (typeof TIMED_KINDS)[number];
export type JoinKind = (typeof JOIN_KINDS)[number];
export type PassingKind = (typeof PASSING_KINDS)[number];
export type SummingKind = (typeof SUMMING_KINDS)[number];
export type AuditedKind = (typeof AUDITED_KINDS)[number];
/** Behind keyBy; of "rules" only the first input is, every subtask gets the second one whole. */
type AnyKeyedKind =
  | KeyedKind
  | TimedKind
  | JoinKind
  | PassingKind
  | SummingKind
  | AuditedKind
  | "rules"
  | "pause"
  | "combined"
  | "relay";

interface DrawnBase {
  readonly id: string;
  /** The inputs by port; several inputs of one port are a union. */
  readonly ports: readonly (readonly DrawnInput[])[];
  readonly parallelism: number;
  /** Two small numbers that its function depends on. */
  readonly a: number;
  readonly b: number;
  /** A join: what comes late is read. Default: it is only counted. */
  readonly tellsLate?: true;
  /** Rules: what comes for keys waits for them. */
  readonly waitFor?: "first" | "caughtUp";
  /** Its processing time goes on from the checkpoint after a restore. */
  readonly replays?: true;
  /** Its windows, or its machine, are others in each life of the job that has another number here. Default 0. */
  readonly form?: number;
}

type Keyed<K extends AnyKeyedKind> = K extends AnyKeyedKind
  ? DrawnBase & { readonly kind: K; readonly keys: KeyKind }
  : never;
type Stateless<K extends StatelessKind> = K extends StatelessKind ? DrawnBase & { readonly kind: K } : never;

export type DrawnOperator =
  | Stateless<StatelessKind>
  | Keyed<AnyKeyedKind>
  | (DrawnBase & {
      /** It gives its items timestamps. */
      readonly kind: "restamp";
      readonly boundMs: number;
      /** 0: a watermark behind each record. */
      readonly intervalMs: number;
    })
  | (DrawnBase & {
      /** It asks a service for each item. */
      readonly kind: "request";
      readonly order: "ordered" | "unordered" | "perKey";
      /** undefined: there are no keys. */
      readonly perKey: KeyKind | undefined;
      readonly capacity: number;
      readonly onFailure: "fail" | "sideOutput";
    })
  | (DrawnBase & {
      /** It keeps some items in state that belongs to no key, and lets them go later. */
      readonly kind: "buffer";
      readonly state: "list" | "union";
    })
  | (DrawnBase & {
      readonly kind: "loop";
      /** How records come back. */
      readonly feedback: "forward" | "rebalance" | "hash";
      /** A keyed operator in the loop counts the visits of each key and tells them. */
      readonly visits: KeyKind | undefined;
    });

/** Input that goes away: by limits of its streams, or because an administrator takes it away. */
export interface DrawnRetention {
  readonly limits: Limits;
  /** undefined: as the streams' limits say. */
  readonly gaps: "fail" | "skip" | undefined;
  /** All but the newest are taken away. */
  readonly purges: readonly { readonly afterMs: number; readonly split: number; readonly kept: number }[];
}

/** How a source tells of event time. */
export interface DrawnTime {
  /** How many items a record may come behind one with a newer timestamp; 0: timestamps rise. */
  readonly disorder: number;
  /** How many of them the watermark waits for. */
  readonly bound: number;
  /** 0: behind each record. */
  readonly intervalMs: number;
  /** A split from which nothing comes for so long is idle. Default: none is. */
  readonly idleAfterMs?: number;
  /** Default: it waits for no other source. */
  readonly alignment?: {
    readonly maxDriftMs: number;
    readonly intervalMs: number;
    /** Left out: it waits at any time. */
    readonly whileBehind?: number;
  };
}

export interface DrawnSource {
  readonly id: string;
  /** Default: its records have no timestamps. */
  readonly time?: DrawnTime;
  readonly bounded: boolean;
  readonly parallelism: number;
  /** What its splits hold, in order. */
  readonly splits: readonly (readonly Item[])[];
  /** So many of each split are there when the job is submitted, of a bounded source all; the others come one by one. */
  readonly there: readonly number[];
  readonly comesEveryMs: number;
  readonly pollsPerSecond: number;
  readonly recordsPerPoll: number;
  /** Default: what has come stays. */
  readonly retention?: DrawnRetention;
}

export interface DrawnSink {
  readonly id: string;
  readonly inputs: readonly DrawnInput[];
  readonly parallelism: number;
  readonly guarantee: "exactly-once" | "at-least-once";
  readonly partMessagesMax: number;
  /** It stands right behind this source, and shows how far that was read. */
  readonly taps?: string;
}

/** What a worker of the job is started with. */
export interface DrawnWorker {
  readonly slots: number;
  readonly inlineBytesMax: number;
  readonly flushMs: number;
  readonly windowFrames: number;
  readonly checks: boolean;
  /** Its state lies on disk, and so many rows of it may be in memory; null: all of it is in the heap. */
  readonly rowsInMemory: number | null;
  /** The workers keep copies of their state on disks that outlive them. */
  readonly localCopies: boolean;
}

export const ACTS = [
  "savepoint",
  "checkpoint",
  "collect",
  "suspend",
  "stop",
  "cancel-with-savepoint",
  "cancel",
  "drain",
] as const;

/** What the user does while the job runs. */
export interface DrawnAct {
  /**
   * "fork": another job is restored from a savepoint of this one, which runs on. "rescale": the job that runs gets
   * other numbers of subtasks.
   */
  readonly kind: (typeof ACTS)[number] | "fork" | "rescale";
  /** The number of each operator, where the act is a rescale. */
  readonly parallelism?: { readonly [operator: string]: number };
  /** Since the one before it was done. */
  readonly afterMs: number;
  /** The time from the end of the job to its next start, if there is one. */
  readonly pauseMs: number;
  readonly claims: boolean;
  /** Where the job is restored: under another name, with some changes. Default: the same job. */
  readonly becomes?: DrawnLife;
  /**
   * How the user goes on from the end of the job, where not from its latest state: with nothing, or from the oldest
   * checkpoint that is kept.
   */
  readonly goesBack?: "to-nothing" | "to-oldest";
}

/** An operator whose state is given up with the restore, or that has none yet. */
export interface DrawnChange {
  readonly operator: string;
  readonly then: "begins anew" | "is gone" | "is new";
}

/** What may change from one life of a job to the next. */
export interface DrawnLife {
  readonly name: string;
  readonly operators: readonly DrawnOperator[];
  /** Default: as before. */
  readonly sinks?: readonly DrawnSink[];
  readonly change?: DrawnChange;
  /** Default: as drawn. */
  readonly scale?: Scale | undefined;
  readonly options: JobOptions;
  readonly worker: DrawnWorker;
}

export interface DrawnJob {
  readonly sources: readonly DrawnSource[];
  /** In the order of definition. */
  readonly operators: readonly DrawnOperator[];
  readonly sinks: readonly DrawnSink[];
  readonly acts: readonly DrawnAct[];
  /** Records may change their subtask from one life to the next, so none keep their order. */
  readonly reordered: boolean;
  readonly options: JobOptions;
  readonly worker: DrawnWorker;
  readonly workers: number;
  readonly coordinators: number;
}

export const KEYS = 12;
/** Between two items of a split that come in order. */
export const TICK_MS = 10;
export const N_MAX = 97;

/* What users' functions do, said once for the job and for the oracle: they are the user's code, not the engine's. */

export const keyOf: Readonly<Record<KeyKind, (item: Item) => number | string | bigint | boolean>> = {
  number: ({ key }) => key,
  text: ({ key }) => `k${key}`,
  bigint: ({ key }) => BigInt(key),
  boolean: ({ key }) => key % 2 === 0,
};

/** The number by which items of one group are known. */
export function groupOf(key: number | string | bigint | boolean): number {
  return typeof key === "string" ? Number(key.slice(1)) : Number(key);
}

export const mapped = ({ a, b }: DrawnBase, item: Item): Item => ({ ...item, n: (item.n * a + b) % N_MAX });
export const rekeyed = ({ a, b }: DrawnBase, item: Item): Item => ({
  ...item,
  key: (item.key * a + b) % KEYS,
});
export const kept = ({ a, b }: DrawnBase, { n }: Item): boolean => n % (2 + (a % 3)) !== b % 2;
export const multiplied = ({ a }: DrawnBase, item: Item): Item[] =>
  Array.from({ length: (item.n + a) % 3 }, (_, i) => ({ ...item, n: (item.n + i) % N_MAX }));
export const isOdd = ({ n }: Item): boolean => n % 2 === 1;
export const marked = ({ a }: DrawnBase, item: Item, port: number): Item => ({
  ...item,
  n: (item.n + a * (port + 1)) % N_MAX,
});

/** What a keyed operator emits for the key of this number as its `at`-th. */
export const told = (by: string, key: number, at: number): Item => ({
  by,
  key,
  at,
  n: (key * 7 + at * 3) % N_MAX,
});
/** What it emits at the end of its input. */
export const summed = (id: string, key: number, count: number, sum: number): Item => ({
  by: `${id}.end`,
  key,
  at: count,
  n: sum,
});
export const ROUNDS = 4;
/** An item in front of a loop: so many rounds are left. */
export const wound = (item: Item): Item => ({ ...item, n: item.n % ROUNDS });
export const round = (item: Item): Item => ({ ...item, n: item.n - 1 });
/** Whether it goes round once more. */
export const comesBack = ({ n }: Item): boolean => n > 0;
/** What the keyed operator in a loop tells of a visit; it leaves the loop. */
export const visited = (id: string, key: number, at: number): Item => ({ by: `${id}.visit`, key, at, n: -1 });
/** What `collection` keeps of the last number: shapes that change. */
export const lastOf = (n: number): unknown =>
  n % 3 === 0 ? { n } : n % 3 === 1 ? { n, odd: `${n}` } : new Map([[n, { at: n }]]);

/** A source for a story: how many records each split has. */
export const inShort = ({ splits, ...source }: DrawnSource) => ({
  ...source,
  splits: splits.map(({ length }) => length),
});

/** The disorder of items that have their timestamps from an operator. */
export const IN_ORDER = { disorder: 0 };

/** The timestamp of a source's item. */
export function stampOf({ disorder }: Pick<DrawnTime, "disorder">, { at }: Item): number {
  return (at - (disorder === 0 ? 0 : (at * 7919) % (disorder + 1))) * TICK_MS;
}

const MAY_SLIDE: readonly DrawnOperator["kind"][] = ["triggered", "combinedWindow", "patient"];

/** The windows of an operator: their size, the distance of their beginnings, and where one of them begins. */
export function windowsOf({ kind, a, b }: Pick<DrawnOperator, "kind" | "a" | "b">): {
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
} {
  if (kind === "sliding")
    return { sizeMs: TICK_MS * (1 + (a % 4)), slideMs: TICK_MS * (1 + (b % 3)), offsetMs: 0 };
  const sizeMs = TICK_MS * (2 + 2 * (a % 3));
  return {
    sizeMs,
    slideMs: kind === "cumulating" || (MAY_SLIDE.includes(kind) && a % 2 === 1) ? sizeMs / 2 : sizeMs,
    offsetMs: kind === "tumbling" ? b : 0,
  };
}

/** What a window tells when it fires. */
export const fired = (id: string, key: number, end: number, count: number): Item => ({
  by: id,
  key,
  at: end,
  n: count,
});
/** What a session tells when it fires. */
export const firedSession = (
  id: string,
  key: number,
  { start, end }: { readonly start: number; readonly end: number },
  count: number,
): Item => fired(id, key, end, count * 1000 + end - start);
/** How long a session lasts behind this item. Sessions never touch where items come at whole ticks. */
export function gapOf({ a, b }: Pick<DrawnOperator, "a" | "b">, { n }: Item): number {
  return TICK_MS * (1 + ((b + (a % 2 === 0 ? 0 : Math.abs(n))) % 3)) + TICK_MS / 2;
}

/** How far behind an item of the left stream one of the right stream may come. Bounds, and whether they count. */
export function intervalOf({ a, b }: Pick<DrawnOperator, "a" | "b">) {
  return {
    lowerMs: -TICK_MS * (1 + (a % 4)),
    upperMs: TICK_MS * (b % 4),
    lowerExclusive: a % 2 === 0,
    upperExclusive: b % 2 === 0,
  };
}
/** The windows of a join. */
export function joinWindowsOf({ kind, a, b }: Pick<DrawnOperator, "kind" | "a" | "b">) {
  const other = kind === "coGroup" ? "session" : "sliding";
  return { kind: a % 2 === 0 ? "tumbling" : other, a, b } as const;
}
/** What a join tells of a pair. @param at ms */
export const paired = (id: string, key: number, at: number, left: Item, right: Item): Item => ({
  by: id,
  key,
  at,
  n: Math.abs(left.n * 31 + right.n * 17 + left.at + right.at * 3) % N_MAX,
});
/** What it tells of all items of one key in one window. */
export const beside = (
  id: string,
  key: number,
  end: number,
  lefts: readonly Item[],
  rights: readonly Item[],
): Item => fired(id, key, end, lefts.length * 1000 + rights.length);

/** What the service answers. */
export const answered = (operator: DrawnBase, item: Item): Item[] =>
  operator.b % 2 === 0 ? [mapped(operator, item)] : multiplied(operator, item);
/** The service never answers. */
export const isRefused = ({ b }: DrawnBase, { n }: Item): boolean => Math.abs(n) % 6 === b % 6;
export const failed = (id: string, item: Item): Item => ({ ...item, by: `${id}.failed` });

/** How many items a buffer has when it lets them go. */
export const bufferSizeOf = ({ a, b }: DrawnBase): number => 2 + ((a + b) % 6);

/** What each subtask tells of a rule of this key. */
export const ruled = (id: string, key: number, at: number): Item => told(`${id}.rule`, key, at);

/** The item of a record that no window took. */
export const late = (id: string, item: Item): Item => ({ ...item, by: `${id}.late` });
