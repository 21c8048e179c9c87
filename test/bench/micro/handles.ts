/**
 * What the kinds of keyed state cost: `npx tsc -b && node dist/test/bench/micro/handles.js`.
 *
 * Processor time for each call, the look-up of the key included, with 10, 1000 and 100,000 elements a key: to add to a
 * list, and to set an entry of a map, must cost the same for all three. Not measured: snapshots (state.ts).
 */
import {
  aggregatingState,
  listState,
  mapState,
  reducingState,
  valueState,
} from "../../../src/state/descriptor.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { KeyedState } from "../../../src/state/keyed-state.ts";

const CALLS = 200_000;
const ROUNDS = 5;

const state = new KeyedState((options) => new HeapBackend(options), {
  operator: "bench",
  descriptors: {
    value: valueState(0),
    list: listState<number>(),
    map: mapState<string, number>(),
    reducing: reducingState((a: number, b: number) => a + b),
    aggregating: aggregatingState({
      createAccumulator: () => ({ sum: 0, count: 0 }),
      add: ({ sum, count }, n: number) => ({ sum: sum + n, count: count + 1 }),
      getResult: ({ sum, count }) => sum / count,
    }),
  },
  keyGroups: { first: 0, last: 127 },
  maxParallelism: 128,
});
const { value, list, map, reducing, aggregating } = state.handles;

/** Runs `call` CALLS times, for each element of each key; answers µs of processor time for each. */
function measure(size: number, call: (element: number) => void): number {
  const keys = CALLS / size;
  const begin = process.cpuUsage();
  for (let element = 0; element < size; element++) {
    for (let key = 0; key < keys; key++) {
      state.setCurrentKey(key);
      call(element);
    }
  }
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / CALLS;
}

/** For each key once; µs for each element. */
function measureAll(size: number, call: () => void): number {
  const keys = CALLS / size;
  const begin = process.cpuUsage();
  for (let key = 0; key < keys; key++) {
    state.setCurrentKey(key);
    call();
  }
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / CALLS;
}

const names = Array.from({ length: 100_000 }, (_, i) => `entry-${i}`);

function roundOf(size: number): Record<string, number> {
  const costs = {
    "list add": measure(size, (element) => list.add(element)),
    "list get, an element": measureAll(size, () => list.get()),
    "map set, new": measure(size, (element) => map.set(names[element]!, element)),
    "map get and set": measure(size, (element) => map.set(names[element]!, map.get(names[element]!)! + 1)),
    "map iteration, an entry": measureAll(size, () => {
      for (const _ of map);
    }),
    "value get and set": measure(size, () => value.set(value.get() + 1)),
    "reducing add": measure(size, (element) => reducing.add(element)),
    "aggregating add": measure(size, (element) => aggregating.add(element)),
  };
  measureAll(size, () => {
    for (const handle of Object.values(state.handles)) handle.clear();
  });
  return costs;
}

for (const size of [10, 1000, 100_000]) {
  const rounds = Array.from({ length: ROUNDS }, () => roundOf(size));
  console.log(`\n${size} elements a key, µs`);
  for (const name of Object.keys(rounds[0]!)) {
    const costs = rounds.map((round) => round[name]!).sort((a, b) => a - b);
    console.log(`  ${name.padEnd(26)} ${costs[ROUNDS >> 1]!.toFixed(3)} (at best ${costs[0]!.toFixed(3)})`);
  }
}
