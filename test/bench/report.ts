/** The figures as a table for people, or as one JSON object. */
import { cpus, loadavg, totalmem } from "node:os";
import { type Measured, valueOfFigure } from "./figure.ts";
import { median, spread } from "./statistics.ts";

/** Above this spread of the median figure's rounds the machine was busy with something else. */
const NOISY = 0.25;

/** undefined: nothing is asked of it. */
export function passes(measured: Measured): boolean | undefined {
  const { floor, better } = measured;
  if (floor === undefined) return undefined;
  return better === "higher" ? valueOfFigure(measured) >= floor : valueOfFigure(measured) <= floor;
}

export function describeFigures(all: readonly Measured[], loadBefore: number): string {
  const rows = all.map((measured) => {
    const { name, samples, floor, aim, better, unit = "" } = measured;
    const sign = better === "higher" ? ">=" : "<=";
    const pass = passes(measured);
    return [
      name,
      `${show(valueOfFigure(measured))} ${unit}`.trimEnd(),
      floor === undefined ? "" : `${sign} ${floor}`,
      aim === undefined ? "" : `${sign} ${aim}`,
      pass === undefined ? "" : pass ? "pass" : "MISS",
      samples.length === 1
        ? ""
        : [Math.min(...samples), median(samples), Math.max(...samples)].map(show).join(" / "),
    ];
  });
  const head = ["figure", "value", "floor", "aim", "", "min / median / max"];
  return `${table([head, ...rows])}\n\n${describeNoise(all, loadBefore)}`;
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}

export function figuresAsJson(all: readonly Measured[], loadBefore: number): string {
  const details = all.map((measured) => {
    const { name, samples, floor, aim } = measured;
    return [
      name,
      {
        min: Math.min(...samples),
        median: median(samples),
        max: Math.max(...samples),
        rounds: samples.length,
        ...(floor === undefined ? {} : { floor, pass: passes(measured) }),
        ...(aim === undefined ? {} : { aim }),
      },
    ];
  });
  return JSON.stringify({
    ...nested(all),
    details: Object.fromEntries(details),
    noise: {
      spread: medianSpread(all),
      noisy: medianSpread(all) > NOISY,
      loadBefore,
      loadAfter: loadavg()[0],
    },
    machine: machine(),
  });
}

export function machine(): object {
  return {
    cores: cpus().length,
    model: cpus()[0]?.model ?? "unknown",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
  };
}

/** `rssMb.coordinator` becomes a field of the object `rssMb`. */
function nested(all: readonly Measured[]): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const measured of all) {
    const [name, part] = measured.name.split(".") as [string, string?];
    if (part === undefined) object[name] = valueOfFigure(measured);
    else object[name] = { ...(object[name] as object), [part]: valueOfFigure(measured) };
  }
  return object;
}

/** How much the throughput of one and the same thing differed between rounds. */
function medianSpread(all: readonly Measured[]): number {
  const rates = all.filter(({ name, samples }) => name.startsWith("recordsPerSecond.") && samples.length > 1);
  return rates.length === 0 ? 0 : median(rates.map(({ samples }) => spread(samples)));
}

function describeNoise(all: readonly Measured[], loadBefore: number): string {
  const percent = Math.round(medianSpread(all) * 100);
  const load = `load ${loadBefore.toFixed(1)} before, ${loadavg()[0]!.toFixed(1)} after`;
  const verdict =
    medianSpread(all) > NOISY ? "; something else was running: trust the ratios, or repeat" : "";
  return `rounds of one throughput differ by ${percent} % (${load}, ${cpus().length} cores)${verdict}`;
}

export function show(value: number): string {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) < 100 ? value.toFixed(2) : Math.round(value).toString();
}
