/** Values at the edges of what a field may hold, and beyond. */

const LONG_CHARS = 60_000;

export const EDGES: readonly unknown[] = [
  0,
  -0,
  -1,
  0.5,
  1,
  2 ** 31,
  2 ** 32,
  Number.MAX_SAFE_INTEGER - 1,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  Number.MAX_VALUE,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2n ** 64n - 1n,
  "",
  "0",
  " ",
  "\u0000",
  "*",
  ">",
  "a.b",
  "../../x",
  "__proto__",
  "constructor",
  "\ud800",
  "x".repeat(LONG_CHARS),
  null,
  true,
  false,
  [],
  [null],
  {},
  { length: 2 ** 32 },
  new Uint8Array(0),
  new Uint8Array(LONG_CHARS),
  new Date(Number.NaN),
  new Map([["type", "job.status"]]),
  nested(200),
];

/** What takes the place of a directory: a place that exists is a user's wish. */
export const EDGE_PLACES: readonly unknown[] = [
  "",
  "\u0000",
  "/proc/self/savepoints",
  "nats:",
  "nats:*",
  7,
  [],
  {},
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}
