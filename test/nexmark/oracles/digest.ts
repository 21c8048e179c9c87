/** What two lists of rows have in common when they hold the same rows, in whatever order. */
export interface Digest {
  readonly rows: number;
  /** Sums of two hashes of each row, of 32 bits. */
  readonly sums: readonly [number, number];
}

export const NO_ROWS: Digest = { rows: 0, sums: [0, 0] };

/** The digest of the rows of both. */
export function merged(a: Digest, b: Digest): Digest {
  return {
    rows: a.rows + b.rows,
    sums: [(a.sums[0] + b.sums[0]) >>> 0, (a.sums[1] + b.sums[1]) >>> 0],
  };
}

/** Takes rows one by one. */
export interface Collected {
  add(row: object): void;
  digest(): Digest;
}

/** Every row counts. */
export function everyRow(): Collected {
  let digest = NO_ROWS;
  return {
    add: (row) => {
      digest = merged(digest, digestOf(row));
    },
    digest: () => digest,
  };
}

/** The last row of each key counts. */
export function lastRowOf<R>(keyOf: (row: R) => number): Collected {
  const last = new Map<number, object>();
  return {
    add: (row) => void last.set(keyOf(row as R), row),
    digest: () => [...last.values()].map(digestOf).reduce(merged, NO_ROWS),
  };
}

/** Only the sum of the rows' counts counts. */
export function sumOfCounts<R>(countOf: (row: R) => number): Collected {
  let rows = 0;
  return {
    add: (row) => {
      rows += countOf(row as R);
    },
    digest: () => ({ ...NO_ROWS, rows }),
  };
}

/** The order of a row's fields does not matter. */
function digestOf(row: object): Digest {
  const text = JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
  return { rows: 1, sums: [hashOf(text, 0x811c9dc5), hashOf(text, 0x2545f491)] };
}

/** FNV-1a over the characters, mixed at the end, so that sums of hashes of similar texts differ. */
function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
