/** Durations and sizes as people write them: "10 s", "500ms", "20 KiB", or a bare number of ms or bytes. */
import { ConfigurationError } from "../errors.ts";

/** A number of milliseconds, or text with a unit: "250ms", "10 s", "1.5 m", "2 hours", "1d". */
export type Duration = number | string;

/** A number of bytes, or text with a unit: "20 KiB", "1MiB", "64 kB". */
export type Size = number | string;

const durationUnits: Units = unitTable([
  [1, "ms", "milli", "millis", "millisecond", "milliseconds"],
  [1_000, "s", "sec", "secs", "second", "seconds"],
  [60_000, "m", "min", "mins", "minute", "minutes"],
  [3_600_000, "h", "hour", "hours"],
  [86_400_000, "d", "day", "days"],
]);

const sizeUnits: Units = unitTable([
  [1, "b", "byte", "bytes"],
  [1_000, "kb"],
  [1_000_000, "mb"],
  [1_000_000_000, "gb"],
  [1_024, "k", "kib", "kibibytes"],
  [1_048_576, "m", "mib", "mebibytes"],
  [1_073_741_824, "g", "gib", "gibibytes"],
]);

type Units = ReadonlyMap<string, number>;

function unitTable(rows: readonly (readonly [factor: number, ...names: string[]])[]): Units {
  return new Map(rows.flatMap(([factor, ...names]) => names.map((name) => [name, factor] as const)));
}

/** `problem` completes the sentence "checkpointing.interval: …". */
export type Reading = { readonly value: number } | { readonly problem: string };

export function readDuration(input: unknown): Reading {
  return read(input, durationUnits, {
    article: "a duration",
    whole: "milliseconds",
    examples: `"10 s", "500ms" or a number of milliseconds`,
    units: "ms, s, m, h, d",
  });
}

export function readSize(input: unknown): Reading {
  return read(input, sizeUnits, {
    article: "a size",
    whole: "bytes",
    examples: `"20 KiB" or a number of bytes`,
    units: "B, kB, KiB, MB, MiB, GB, GiB",
  });
}

interface Wording {
  readonly article: string;
  readonly whole: string;
  readonly examples: string;
  readonly units: string;
}

function read(input: unknown, units: Units, wording: Wording): Reading {
  if (typeof input === "number") return wholeNumberOf(input, input, wording);
  if (typeof input !== "string")
    return { problem: `must be ${wording.article} (${wording.examples}), got ${show(input)}` };
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*([a-z]*)\s*$/i.exec(input);
  if (match === null)
    return { problem: `must be ${wording.article} (${wording.examples}), got ${show(input)}` };
  const unit = match[2]!.toLowerCase();
  const factor = unit === "" ? 1 : units.get(unit);
  if (factor === undefined)
    return {
      problem: `must be ${wording.article}: unknown unit "${match[2]}" in ${show(input)}; units are ${wording.units}`,
    };
  return wholeNumberOf(Number(match[1]) * factor, input, wording);
}

function wholeNumberOf(value: number, input: unknown, wording: Wording): Reading {
  if (!Number.isFinite(value)) return { problem: `must be ${wording.article} that ends, got ${show(input)}` };
  if (value < 0) return { problem: `must not be negative, got ${show(input)}` };
  const whole = Math.round(value);
  // Products like 1.1 * 60000 miss the whole number by a rounding error.
  if (Math.abs(value - whole) > 1e-6)
    return { problem: `must come to whole ${wording.whole}, got ${show(input)}` };
  return { value: whole };
}

/**
 * @param key the option it belongs to; the error names it
 * @returns milliseconds, a whole number >= 0
 * @throws ConfigurationError
 */
export function parseDuration(input: Duration, key: string): number {
  const reading = readDuration(input);
  if ("problem" in reading) throw new ConfigurationError(key, `${key}: ${reading.problem}`);
  return reading.value;
}

/**
 * The duration in the largest unit that keeps at most three digits behind the point: 1500 -> "1.5 s", 600000 -> "10 m".
 */
export function formatDuration(ms: number): string {
  const steps: readonly [factor: number, unit: string][] = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "m"],
    [1_000, "s"],
  ];
  for (const [factor, unit] of steps) {
    if (ms >= factor && Number.isInteger((ms / factor) * 1_000)) return `${ms / factor} ${unit}`;
  }
  return `${ms} ms`;
}

/** A time in ms as ISO 8601; one that no Date has, as it is. */
export function formatTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}

/** The size in the largest binary unit that divides it: 20480 -> "20 KiB". */
export function formatSize(bytes: number): string {
  const steps: readonly [factor: number, unit: string][] = [
    [1_048_576, "MiB"],
    [1_024, "KiB"],
  ];
  for (const [factor, unit] of steps) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor} ${unit}`;
  }
  return `${bytes} bytes`;
}

/** A value inside a message: short, quoted where it is text. */
export function show(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (Array.isArray(value)) return "an array";
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}
