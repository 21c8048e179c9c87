/**
 * What keyed state and the operator chain cost, without transport: `npx tsc -b && node dist/test/bench/micro/state.js`.
 *
 * Variants of one question alternate in one process; trust the ratios. Not measured: decoding of input, channels,
 * upload of chunks, garbage collection pressure of a whole worker.
 */
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { EncodedChunk, SnapshotCursor } from "../../../src/state/contract.ts";
import { type Key, type ValueState, valueState } from "../../../src/state/descriptor.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { hashOf, keyGroupOf } from "../../../src/state/key-groups.ts";
import { KeyedState } from "../../../src/state/keyed-state.ts";
import { filter, inRow, map, process as processing } from "../../support/graphs/operators.ts";

const GROUPS = 128;
const ALL_GROUPS = { first: 0, last: GROUPS - 1 };
const TURN_RECORDS = 1024;

interface Bid {
  readonly bidder: string;
  readonly price: number;
}

function bidders(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `bidder-${i}`);
}

/** The same sequence in every run: a full period over all indices, in no visible order. */
function* indices(count: number): Generator<number, never> {
  let x = 1;
  for (;;) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    yield x % count;
  }
}

function quantile(samples: number[], q: number): number {
  samples.sort((a, b) => a - b);
  return samples[Math.min(samples.length - 1, Math.floor(samples.length * q))] ?? Number.NaN;
}

function print(name: string, text: string): void {
  console.log(`${name.padEnd(44)} ${text}`);
}

const turnOver = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function benchHash(): void {
  const keys = bidders(65_536);
  let sum = 0;
  const rates: number[] = [];
  for (let round = 0; round < 5; round++) {
    const begin = performance.now();
    for (let n = 0; n < 50; n++) for (let i = 0; i < keys.length; i++) sum += keyGroupOf(keys[i]!, GROUPS);
    rates.push((50 * keys.length) / (performance.now() - begin) / 1000);
  }
  print("key group of a 12-character string", `${quantile(rates, 0.5).toFixed(1)} M/s (${sum % 10})`);
}

const mapBid = (bid: Bid): Bid => ({ bidder: bid.bidder, price: bid.price * 2 });
const keepBid = (bid: Bid): boolean => bid.price > 400;

/** map, filter, keyed count; emits every tenth. */
function countingChain(output: () => void): Chain {
  const counting = processing("count", (bid) => (bid as Bid).bidder, {
    state: { count: valueState(0) },
    onRecord(_, { state, emit }) {
      const count = state.count.get() + 1;
      state.count.set(count);
      if (count % 10 === 0) emit(count);
    },
  });
  const operators = inRow([map("map", mapBid), filter("filter", keepBid), counting], ["out"]);
  return buildChain(
    { id: "bench", parallelism: 1, operators },
    { subtaskIndex: 0, maxParallelism: GROUPS, output: () => output, writer: () => undefined as never },
  );
}

function bareLoop(output: () => void): (bid: Bid) => void {
  const groups = Array.from({ length: GROUPS }, () => new Map<string, number>());
  return (bid) => {
    const mapped = mapBid(bid);
    if (!keepBid(mapped)) return;
    const group = groups[hashOf(mapped.bidder) % GROUPS]!;
    const count = (group.get(mapped.bidder) ?? 0) + 1;
    group.set(mapped.bidder, count);
    if (count % 10 === 0) output();
  };
}

function benchChain(keyCount: number): void {
  const keys = bidders(keyCount);
  const random = indices(keyCount);
  const bids = Array.from({ length: 1 << 16 }, (_, i): Bid => {
    return { bidder: keys[random.next().value]!, price: (i * 7919) % 1000 };
  });
  let emitted = 0;
  const output = (): void => {
    emitted++;
  };
  const chain = countingChain(output);
  const bare = bareLoop(output);
  const variants: Record<string, (bid: Bid) => void> = {
    bare,
    chain: (bid) => chain.heads[0]!(bid, 1),
  };
  const rates: Record<string, number[]> = { bare: [], chain: [] };
  for (let round = 0; round < 7; round++) {
    for (const [name, run] of Object.entries(variants)) {
      const begin = performance.now();
      for (let n = 0; n < 30; n++) for (let i = 0; i < bids.length; i++) run(bids[i]!);
      if (round > 1) rates[name]!.push((30 * bids.length) / (performance.now() - begin) / 1000);
    }
  }
  const [bareRate, chainRate] = [quantile(rates.bare!, 0.5), quantile(rates.chain!, 0.5)];
  print(
    `chain map, filter, keyed count (${keyCount} keys)`,
    `${chainRate.toFixed(1)} M rec/s; bare loop ${bareRate.toFixed(1)}; ratio ${(chainRate / bareRate).toFixed(2)} (${emitted % 10})`,
  );
}

interface Total {
  readonly count: number;
  readonly sum: number;
}

interface Update {
  readonly key: Key;
  readonly price: number;
}

/** 10^5 keys in no order, each of them about twice. */
function randomUpdates(keyOf: (random: number) => Key): Update[] {
  const random = indices(2 ** 31);
  const keys = Array.from({ length: 100_000 }, () => keyOf(random.next().value));
  const order = indices(keys.length);
  return Array.from({ length: 200_000 }, (_, i) => {
    return { key: keys[order.next().value]!, price: (i * 31) % 10_007 };
  });
}

function updateMap(map: Map<Key, { count: number; sum: number }>, updates: readonly Update[]): void {
  for (const { key, price } of updates) {
    let total = map.get(key);
    if (total === undefined) {
      total = { count: 0, sum: 0 };
      map.set(key, total);
    }
    total.count++;
    total.sum += price;
  }
}

function updateState(state: KeyedState, handle: ValueState<Total>, updates: readonly Update[]): void {
  for (const { key, price } of updates) {
    state.setCurrentKey(key);
    const total = handle.get();
    handle.set({ count: total.count + 1, sum: total.sum + price });
  }
}

/**
 * `stateUpdateToMapRatio`: a read-modify-write at the handle, key group included, against a bare Map of mutable
 * objects.
 */
function benchUpdateRatio(name: string, keyOf: (random: number) => Key): void {
  const updates = randomUpdates(keyOf);
  const map = new Map<Key, { count: number; sum: number }>();
  const state = stateOf({ name: "object", initial: { count: 0, sum: 0 }, next: (before) => before });
  const handle = state.handles.value as ValueState<Total>;
  const variants = {
    map: () => updateMap(map, updates),
    state: () => updateState(state, handle, updates),
  };
  const times: Record<keyof typeof variants, number[]> = { map: [], state: [] };
  const ratios: number[] = [];
  for (let round = 0; round < 25; round++) {
    const us = { map: 0, state: 0 };
    for (const variant of ["map", "state"] as const) {
      const begin = process.cpuUsage();
      for (let n = 0; n < 3; n++) variants[variant]();
      const { user, system } = process.cpuUsage(begin);
      us[variant] = (user + system) / (3 * updates.length);
    }
    if (round < 5) continue;
    for (const variant of ["map", "state"] as const) times[variant].push(us[variant]);
    ratios.push(us.map / us.state);
  }
  print(
    `state update to Map ratio, ${name} keys`,
    `${quantile(ratios, 0.5).toFixed(2)} (${quantile(ratios, 0.05).toFixed(2)} to ${quantile(ratios, 0.95).toFixed(2)}); ` +
      `state ${quantile(times.state, 0.5).toFixed(3)} µs, Map ${quantile(times.map, 0.5).toFixed(3)} µs`,
  );
}

interface Kind {
  readonly name: string;
  readonly initial: unknown;
  readonly next: (before: never) => unknown;
}

const KINDS: readonly Kind[] = [
  { name: "number", initial: 0, next: (count: number) => count + 1 },
  {
    name: "object",
    initial: { count: 0, sum: 0 },
    next: (total: { count: number; sum: number }) => ({ count: total.count + 1, sum: total.sum + 3 }),
  },
];

function stateOf(kind: Kind): KeyedState {
  return new KeyedState((options) => new HeapBackend(options), {
    operator: "bench",
    descriptors: { value: valueState(kind.initial) },
    keyGroups: ALL_GROUPS,
    maxParallelism: GROUPS,
  });
}

interface Samples {
  readonly sync: number[];
  readonly slice: number[];
  readonly duration: number[];
  readonly turn: number[];
  chunks: number;
  bytes: number;
}

/** Updates in turns of the event loop; with `intervalMs`, snapshots beside them, `budgetMs` of it a turn. */
async function runUpdates(at: {
  state: KeyedState;
  kind: Kind;
  keys: readonly string[];
  forMs: number;
  budgetMs: number;
  intervalMs: number | undefined;
  samples: Samples;
}): Promise<number> {
  const { state, keys, samples } = at;
  const handle = state.handles.value as ValueState<unknown>;
  const next = at.kind.next as (before: unknown) => unknown;
  const random = indices(keys.length);
  const sequence = Array.from({ length: 1 << 18 }, () => keys[random.next().value]!);
  let cursor: SnapshotCursor | undefined;
  let records = 0;
  const begin = performance.now();
  let nextCut = begin;
  let cutAt = 0;
  let turnAt = begin;
  while (performance.now() - begin < at.forMs) {
    for (let i = 0; i < TURN_RECORDS; i++) {
      state.setCurrentKey(sequence[records++ & (sequence.length - 1)]!);
      handle.set(next(handle.get()) as object);
    }
    const now = performance.now();
    if (at.intervalMs !== undefined && cursor === undefined && now >= nextCut) {
      cutAt = now;
      cursor = state.snapshot()[0]!.cursor;
      samples.sync.push(performance.now() - now);
      nextCut = now + at.intervalMs;
    }
    for (let from = now; cursor !== undefined && from - now < at.budgetMs; ) {
      const chunk = cursor.next();
      const to = performance.now();
      samples.slice.push(to - from);
      from = to;
      if (chunk === undefined) {
        cursor = undefined;
        samples.duration.push(to - cutAt);
      } else {
        samples.chunks++;
        samples.bytes += chunk.bytes.byteLength;
      }
    }
    await turnOver();
    const ended = performance.now();
    if (at.intervalMs !== undefined) samples.turn.push(ended - turnAt);
    turnAt = ended;
  }
  cursor?.cancel();
  return records / (performance.now() - begin) / 1000;
}

async function benchSnapshots(keyCount: number, kind: Kind, budgetMs: number): Promise<void> {
  const keys = bidders(keyCount);
  const state = stateOf(kind);
  for (const key of keys) {
    state.setCurrentKey(key);
    (state.handles.value as ValueState<unknown>).set(
      (kind.next as (before: unknown) => object)(kind.initial),
    );
  }
  const samples: Samples = { sync: [], slice: [], duration: [], turn: [], chunks: 0, bytes: 0 };
  const unused: Samples = { sync: [], slice: [], duration: [], turn: [], chunks: 0, bytes: 0 };
  const off: number[] = [];
  const on: number[] = [];
  await runUpdates({ state, kind, keys, forMs: 500, budgetMs, intervalMs: undefined, samples: unused });
  for (let round = 0; round < 3; round++) {
    const at = { state, kind, keys, forMs: 2500, budgetMs };
    off.push(await runUpdates({ ...at, intervalMs: undefined, samples: unused }));
    on.push(await runUpdates({ ...at, intervalMs: 1000, samples }));
  }
  const ms = (samples: number[], q: number): string => quantile(samples, q).toFixed(3);
  print(
    `snapshots each second, ${keyCount} ${kind.name}s, ${budgetMs} ms a turn`,
    `${quantile(on, 0.5).toFixed(2)} M/s, off ${quantile(off, 0.5).toFixed(2)}, ratio ${(quantile(on, 0.5) / quantile(off, 0.5)).toFixed(2)}; ` +
      `sync max ${ms(samples.sync, 1)} ms; slice p50 ${ms(samples.slice, 0.5)} p99 ${ms(samples.slice, 0.99)} max ${ms(samples.slice, 1)}; ` +
      `turn p99 ${ms(samples.turn, 0.99)}; duration ${quantile(samples.duration, 0.5).toFixed(0)} ms; ` +
      `${(samples.chunks / Math.max(1, samples.duration.length)) | 0} chunks, ${(samples.bytes / Math.max(1, samples.duration.length) / 1e6).toFixed(1)} MB`,
  );
}

function benchRestore(keyCount: number, kind: Kind): void {
  const source = stateOf(kind);
  for (const key of bidders(keyCount)) {
    source.setCurrentKey(key);
    (source.handles.value as ValueState<unknown>).set(
      (kind.next as (before: unknown) => object)(kind.initial),
    );
  }
  const encodeAt = performance.now();
  const chunks: EncodedChunk[] = [];
  const { cursor } = source.snapshot()[0]!;
  for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk);
  const encoded = performance.now() - encodeAt;
  const bytes = Buffer.concat(chunks.map((chunk) => chunk.bytes));
  const times: number[] = [];
  const slices: number[] = [];
  for (let round = 0; round < 3; round++) {
    const state = stateOf(kind);
    const begin = performance.now();
    const restorer = state.restorer("value", { object: "bench", bytes });
    for (let more = true; more; ) {
      const at = performance.now();
      more = restorer.next();
      slices.push(performance.now() - at);
    }
    times.push(performance.now() - begin);
    let keys = 0;
    for (const _ of state.keys() as Iterable<Key>) keys++;
    if (keys !== keyCount) throw new Error(`restored ${keys} of ${keyCount} keys`);
  }
  print(
    `restore ${keyCount} ${kind.name}s`,
    `${times.map((time) => time.toFixed(0)).join(" ")} ms; slice p99 ${quantile(slices, 0.99).toFixed(2)} ms; ` +
      `encoding all at once ${encoded.toFixed(0)} ms, ${(bytes.byteLength / 1e6).toFixed(1)} MB`,
  );
}

benchUpdateRatio("integer", (random) => random);
benchUpdateRatio("string", (random) => `bidder-${random}`);
benchHash();
benchChain(1000);
benchChain(100_000);
for (const keyCount of [100_000, 1_000_000]) {
  for (const kind of KINDS) benchRestore(keyCount, kind);
}
for (const keyCount of [100_000, 1_000_000]) {
  for (const kind of KINDS) await benchSnapshots(keyCount, kind, 2);
}
