/**
 * Fills keyed state with so many megabytes of rows, changes some of them while a cut is read, and looks at all. "slow":
 * all of them, before the first is read. Run with a heap that is far smaller; says on stdout what it has found.
 *
 *     node --max-old-space-size=32 large-state.js heap|disk DIRECTORY MEGABYTES [slow]
 */
import { systemClock } from "../../../../src/clock.ts";
import { openDiskBackends } from "../../../../src/lmdb/disk-backends.ts";
import { heapBackends } from "../../../../src/state/backends.ts";

const [kind, root, megabytes, speed] = process.argv.slice(2);
const ROW_BYTES = 4000;
const rows = Math.floor((Number(megabytes) * 1e6) / ROW_BYTES);
const text = "x".repeat(ROW_BYTES);

const backends =
  kind === "heap"
    ? heapBackends
    : await openDiskBackends({ root: root!, job: "large", name: "one", cacheBytes: 8e6, clock: systemClock });
const backend = backends.of(1)({
  operator: "large",
  keyGroups: { first: 0, last: 127 },
  maxParallelism: 128,
});
const table = backend.openTable("rows");
/** Each row has a text of its own. */
const write = (key: number, round: number): void => {
  backend.setCurrentKey(key);
  table.write(`${round}-${key}-${text}`);
};
for (let key = 0; key < rows; key++) write(key, 1);
const [cut] = backend.snapshot();
if (speed === "slow") for (let key = 0; key < rows; key++) write(key, 2);
let given = 0;
let bytes = 0;
for (let key = 0; ; key += 8) {
  const chunk = cut!.cursor.next();
  if (chunk === undefined) break;
  given += chunk.entries;
  bytes += chunk.bytes.byteLength;
  if (key < rows) write(key, 2);
}
let wrong = 0;
for (let key = 0; key < rows; key++) {
  backend.setCurrentKey(key);
  const held = table.read();
  if (held !== `1-${key}-${text}` && held !== `2-${key}-${text}`) wrong++;
}
backend.close();
await backends.close();
process.stdout.write(JSON.stringify({ rows, given, bytes, wrong }));
