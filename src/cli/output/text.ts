/** How figures and tables read on a terminal. */

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** "1 object", "1,200 objects". */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

const AGE_UNITS: readonly (readonly [ms: number, unit: string])[] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
];

/** The age in whole units of the largest that fits: "12 s", "3 h". */
export function age(sinceMs: number, nowMs: number): string {
  // Clocks of two machines differ.
  const passedMs = Math.max(0, nowMs - sinceMs);
  const [ms, unit] = AGE_UNITS.find(([least]) => passedMs >= least) ?? [1000, "s"];
  return `${Math.floor(passedMs / ms)} ${unit}`;
}

export function moment(ms: number): string {
  return new Date(ms).toISOString();
}

/** Columns below each other; the first row may be the headings. */
export function table(rows: readonly (readonly string[])[], indent = ""): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => `${indent}${row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ")}`.trimEnd())
    .join("\n");
}
