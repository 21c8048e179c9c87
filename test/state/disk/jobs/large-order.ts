/**
 * Has timers, or sessions, whose keys alone are so many megabytes, and lets all of them fire; or maps, and lists their
 * entries. Run with a heap that is far smaller; says on stdout what it has found.
 *
 *     node --max-old-space-size=32 large-order.js heap|disk timers|sessions|maps DIRECTORY MEGABYTES
 */
import { systemClock } from "../../../../src/clock.ts";
import { sessionWindows } from "../../../../src/index.ts";
import { openDiskBackends } from "../../../../src/lmdb/disk-backends.ts";
import { heapBackends } from "../../../../src/state/backends.ts";
import { mapState, stateTable } from "../../../../src/state/descriptor.ts";
import { KeyedState } from "../../../../src/state/keyed-state.ts";
import { Rearming } from "../../../../src/state/timers/rearming.ts";
import { TimerSet } from "../../../../src/state/timers/timer-set.ts";
import { type Item, WindowChain, windowOperator } from "../../../dataflow/windows/window-chain.ts";

const [kind, what, root, megabytes] = process.argv.slice(2);
const KEY_BYTES = 500;
const count = Math.floor((Number(megabytes) * 1e6) / KEY_BYTES);
const text = "k".repeat(KEY_BYTES);
const keyOf = (i: number): string => `${i}-${text}`;
/** Times in no order, each once: the step has no factor in common with any count. */
const timeOf = (i: number): number => (i * 7_368_787) % count;

const backends =
  kind === "heap"
    ? heapBackends
    : await openDiskBackends({ root: root!, job: "large", name: "one", cacheBytes: 6e6, clock: systemClock });
const openBackend = backends.of(1);
const options = { operator: "large", keyGroups: { first: 0, last: 127 }, maxParallelism: 128 };

/** How many have fired, and how many of them behind one of a later time. */
const found = { fired: 0, wrong: 0 };
let before = Number.NEGATIVE_INFINITY;
function fired(time: number): void {
  found.fired++;
  if (time < before) found.wrong++;
  before = time;
}

if (what === "timers") {
  const state = new KeyedState(openBackend, { ...options, descriptors: { timers: stateTable() } });
  const timers = new TimerSet({ table: "timers", state, rearming: new Rearming() });
  for (let i = 0; i < count; i++) {
    state.setCurrentKey(keyOf(i));
    timers.register(timeOf(i));
  }
  const slices = timers.fire(count, (_, time) => fired(time));
  while (slices?.step());
  state.close();
} else if (what === "maps") {
  const state = new KeyedState(openBackend, { ...options, descriptors: { map: mapState<string, number>() } });
  const { map } = state.handles;
  for (let i = 0; i < count; i++) {
    state.setCurrentKey(keyOf(i));
    map.set("one", i);
    map.set(`${i % 10}`, -i);
  }
  for (let i = 0; i < count; i++) {
    state.setCurrentKey(keyOf(i));
    found.fired++;
    if (String([...map.entries()]) !== `${i % 10},${-i},one,${i}`) found.wrong++;
  }
  state.close();
} else {
  const chain: WindowChain = new WindowChain(
    windowOperator((items) =>
      items.window(sessionWindows({ gap: 10 })).reduce(
        "windows",
        (a: Item) => a,
        (_, { window }) => {
          fired(window.end);
          // What has left is of no use.
          chain.main.length = 0;
        },
      ),
    ),
    128,
    { openBackend },
  );
  for (let i = 0; i < count; i++) chain.record(keyOf(i), 1, timeOf(i));
  chain.watermark(Number.POSITIVE_INFINITY);
  chain.close();
}
await backends.close();
process.stdout.write(JSON.stringify({ count, ...found }));
