/**
 * `state-updates.js TYPE KEYS`: what a read-modify-write of keyed state costs beside the same on a bare Map of mutable
 * objects; TYPE of the keys is `integers` or `strings`, KEYS how many there are. Prints one line of JSON.
 *
 * A `{count, sum}` for each key, in random order. The state's side picks the key, key group included, and reads
 * and sets at the handle, as the chain does it for each record; no snapshot is taken. Both sides alternate in this
 * process, by its processor time. Only one type of keys a process, as in a job.
 *
 * The keyed state is that of the copy whose folder this file lies in, found by name at run time: copies that are
 * compared do not have it at the same place.
 */
import { valueState } from "../../../src/index.ts";
import { add, NO_TOTAL, seeded, type Total } from "../jobs/workload.ts";
import { importKeyedState, type KeyedState } from "./keyed-state.ts";
import { printStateUpdates, type StateUpdates } from "./state-updates-report.ts";

const KEYS = Number(process.argv[3]);
const UPDATES = 1 << 18;
const REPEATS = 4;
const WARM_UP_ROUNDS = 2;
const ROUNDS = 7;

interface Update<K> {
  readonly key: K;
  readonly price: number;
}

/** A class, so that V8 does not tell the Map's objects by what the state has made of literals with the same fields. */
class MutableTotal {
  count = 1;
  sum: number;

  constructor(sum: number) {
    this.sum = sum;
  }
}

interface Updates<K> {
  /** One for each key. Both sides take them first: else the Map's entries would lie in the order of `random`. */
  readonly first: readonly Update<K>[];
  readonly random: readonly Update<K>[];
}

function updates<K>(keyOf: (index: number) => K): Updates<K> {
  const random = seeded(42);
  const priced = (key: K) => ({ key, price: Math.floor(random() * 1e6) });
  const keys = Array.from({ length: KEYS }, (_, index) => keyOf(index));
  return {
    first: keys.map(priced),
    random: Array.from({ length: UPDATES }, () => priced(keys[Math.floor(random() * KEYS)]!)),
  };
}

function updateState<K extends string | number>(state: KeyedState, sequence: readonly Update<K>[]): void {
  const handle = state.handles.total;
  for (let i = 0; i < sequence.length; i++) {
    const update = sequence[i]!;
    state.setCurrentKey(update.key);
    handle.set(add(handle.get(), update));
  }
}

function updateMap<K>(totals: Map<K, MutableTotal>, sequence: readonly Update<K>[]): void {
  for (let i = 0; i < sequence.length; i++) {
    const { key, price } = sequence[i]!;
    const total = totals.get(key);
    if (total === undefined) {
      totals.set(key, new MutableTotal(price));
    } else {
      total.count++;
      total.sum += price;
    }
  }
}

/** Processor time of one update, in nanoseconds. */
function costOf(update: () => void): number {
  const before = process.cpuUsage();
  for (let i = 0; i < REPEATS; i++) update();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / (REPEATS * UPDATES);
}

async function measure<K extends string | number>({ first, random }: Updates<K>): Promise<StateUpdates> {
  const openKeyedState = await importKeyedState();
  const state = openKeyedState({
    operator: "bench",
    descriptors: { total: valueState(NO_TOTAL) },
    keyGroups: { first: 0, last: 127 },
    maxParallelism: 128,
  });
  const totals = new Map<K, MutableTotal>();
  updateState(state, first);
  updateMap(totals, first);
  const sides = {
    state: () => updateState(state, random),
    map: () => updateMap(totals, random),
  };
  const costs = { state: [] as number[], map: [] as number[] };
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const side of round % 2 === 0 ? (["state", "map"] as const) : (["map", "state"] as const)) {
      const cost = costOf(sides[side]);
      if (round >= WARM_UP_ROUNDS) costs[side].push(cost);
    }
  }
  compare(state, totals, first);
  return { stateNs: costs.state, mapNs: costs.map };
}

/** Both must have done the same. */
function compare<K extends string | number>(
  state: KeyedState,
  totals: ReadonlyMap<K, Total>,
  sequence: readonly Update<K>[],
): void {
  for (const { key } of sequence) {
    state.setCurrentKey(key);
    const [held, wanted] = [state.handles.total.get(), totals.get(key)!];
    if (held.count !== wanted.count || held.sum !== wanted.sum) {
      throw new Error(`the state of ${key} is ${JSON.stringify(held)} instead of ${JSON.stringify(wanted)}`);
    }
  }
}

const measured =
  process.argv[2] === "integers"
    ? await measure(updates((index) => index))
    : await measure(updates((index) => `bidder-${String(index).padStart(7, "0")}`));
printStateUpdates(measured);
