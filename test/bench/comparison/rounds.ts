/**
 * The rounds of a comparison: in each one every probe is run by both copies, one right after the other, and the copy
 * that comes first changes from round to round (A B, B A, …).
 *
 * When the first rounds are over, only probes go on whose figures are unresolved, up to a bound. A probe that fails in
 * the first round cannot be run by that copy, which ends the comparison; one that fails later ends for itself.
 */
import { UsageError } from "../arguments.ts";
import type { Settings } from "../figure.ts";
import type { BenchCluster } from "../processes/processes.ts";
import type { Pair } from "../statistics.ts";
import type { Comparable, Probe, Reading, Row } from "./probe.ts";
import { type Judgement, judge } from "./verdict.ts";

export interface Sides {
  readonly own: BenchCluster;
  readonly other: BenchCluster;
}

type SideName = keyof Sides;

export interface ComparedRow extends Row {
  readonly pairs: readonly Pair[];
  readonly judgement: Judgement;
  /** Why its rounds ended early. */
  readonly failure?: string;
}

interface Rounds {
  readonly probe: Probe;
  readonly readings: (readonly [own: Reading, other: Reading])[];
  failure: string | undefined;
}

/** @throws UsageError when one of the copies cannot run a probe */
export async function compare(
  sides: Sides,
  { probes, rows }: Comparable,
  settings: Settings & { readonly roundsMax: number },
): Promise<ComparedRow[]> {
  const all = probes.map((probe): Rounds => ({ probe, readings: [], failure: undefined }));
  for (const probe of probes) {
    for (const cluster of [sides.own, sides.other]) await prepare(probe, cluster, settings);
  }
  for (let round = 0; round < settings.roundsMax; round++) {
    const active = round < settings.rounds ? all : goingOn(all, rows);
    const runnable = active.filter(({ failure }) => failure === undefined);
    if (runnable.length === 0) break;
    if (round === settings.rounds) {
      settings.say(
        `after ${round} rounds not resolved, so up to ${settings.roundsMax - round} more: ` +
          runnable.map(({ probe }) => probe.name).join(", "),
      );
    }
    for (const rounds of runnable) await runProbe(rounds, sides, round, settings);
  }
  return rows.map((row) => compared(row, all));
}

async function prepare(probe: Probe, cluster: BenchCluster, settings: Settings): Promise<void> {
  try {
    await probe.prepare?.(cluster, settings);
  } catch (error) {
    throw lacks(probe.name, cluster.copy.root, (error as Error).message, error);
  }
}

async function runProbe(rounds: Rounds, sides: Sides, round: number, settings: Settings): Promise<void> {
  const { probe, readings } = rounds;
  const order: readonly SideName[] = round % 2 === 0 ? ["own", "other"] : ["other", "own"];
  const read: Partial<Record<SideName, Reading>> = {};
  for (const side of order) {
    const say = (line: string) => settings.say(`round ${round + 1}: ${probe.name} ${nameOf(side)}: ${line}`);
    try {
      read[side] = checked(await probe.measure(sides[side], { ...settings, say }));
    } catch (error) {
      const reason = `${nameOf(side)} fails in round ${round + 1} (${(error as Error).message})`;
      if (round === 0) throw lacks(probe.name, sides[side].copy.root, (error as Error).message, error);
      settings.say(`${probe.name}: ${reason}`);
      rounds.failure = reason;
      return;
    }
  }
  readings.push([read.own!, read.other!]);
}

function checked(reading: Reading): Reading {
  const missing = Object.entries(reading).find(([, value]) => !Number.isFinite(value));
  if (missing !== undefined) throw new Error(`${missing[0]} is ${missing[1]}`);
  return reading;
}

export function lacks(probe: string, root: string, reason: string, cause?: unknown): UsageError {
  return new UsageError(
    `${root} cannot run "${probe}": ${reason}; leave out what needs it by naming the others with --figures`,
    { cause },
  );
}

function goingOn(all: readonly Rounds[], rows: readonly Row[]): Rounds[] {
  const unresolved = rows.filter(
    (row) => row.judged && compared(row, all).judgement.verdict === "unresolved",
  );
  const names = new Set(unresolved.flatMap((row) => row.probes));
  return all.filter(({ probe }) => names.has(probe.name));
}

function compared(row: Row, all: readonly Rounds[]): ComparedRow {
  const needed = row.probes.map((name) => all.find(({ probe }) => probe.name === name)!);
  const count = Math.min(...needed.map(({ readings }) => readings.length));
  const pairs = Array.from({ length: count }, (_, round): Pair => {
    const of = (side: 0 | 1) =>
      row.value(Object.assign({}, ...needed.map(({ readings }) => readings[round]![side])) as Reading);
    return [of(0), of(1)];
  });
  const failure = needed.find((rounds) => rounds.failure !== undefined)?.failure;
  return {
    ...row,
    pairs,
    judgement: judge(row.better, pairs),
    ...(failure === undefined ? {} : { failure }),
  };
}

function nameOf(side: SideName): string {
  return side === "own" ? "this copy" : "the other copy";
}
