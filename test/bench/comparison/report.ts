/** What a comparison has found, as a table for people or as one JSON object, and its exit code. */
import { show, table } from "../report.ts";
import { median } from "../statistics.ts";
import type { ComparedRow } from "./rounds.ts";
import type { Verdict } from "./verdict.ts";

/** Exit codes; 2 is wrong use. */
const OK = 0;
const WORSE = 1;
const UNRESOLVED = 3;

export interface ComparisonAt {
  /** Roots of the copies. */
  readonly own: string;
  readonly other: string;
  readonly roundsMax: number;
}

/** A failed probe's figures are never ok: what its first rounds say may be by chance. */
function verdictOf({ judgement, failure }: ComparedRow): Verdict {
  return failure !== undefined && judgement.verdict === "ok" ? "unresolved" : judgement.verdict;
}

function named(rows: readonly ComparedRow[], verdict: Verdict): string[] {
  return rows.filter((row) => row.judged && verdictOf(row) === verdict).map(({ name }) => name);
}

export function exitCodeOf(rows: readonly ComparedRow[]): number {
  if (named(rows, "worse").length > 0) return WORSE;
  return named(rows, "unresolved").length > 0 ? UNRESOLVED : OK;
}

export function describeComparison(rows: readonly ComparedRow[], at: ComparisonAt): string {
  const cells = rows.map((row) => {
    const { name, unit = "", pairs, judgement, judged } = row;
    const { ratio, low, high } = judgement;
    return [
      name,
      `${show(median(pairs.map(([own]) => own)))} ${unit}`.trimEnd(),
      `${show(median(pairs.map(([, other]) => other)))} ${unit}`.trimEnd(),
      ratio.toFixed(3),
      `${low.toFixed(3)} to ${high.toFixed(3)}`,
      String(pairs.length),
      judged ? (verdictOf(row) === "worse" ? "WORSE" : verdictOf(row)) : "",
      row.failure ?? row.comparedBy ?? "",
    ];
  });
  const head = ["figure", "this", "other", "ratio", "90 % interval", "rounds", "", "compared by"];
  return [
    `this:  ${at.own}`,
    `other: ${at.other}`,
    "",
    table([head, ...cells]),
    "",
    "ratio: this to other, above 1 is better; without a verdict: for information",
    ...conclusion(rows, at.roundsMax),
  ].join("\n");
}

function conclusion(rows: readonly ComparedRow[], roundsMax: number): string[] {
  const worse = named(rows, "worse");
  const unresolved = named(rows, "unresolved");
  if (worse.length + unresolved.length === 0) return ["no figure is worse"];
  return [
    ...(worse.length === 0 ? [] : [`worse: ${worse.join(", ")}`]),
    ...(unresolved.length === 0
      ? []
      : [
          `unresolved after at most ${roundsMax} rounds: ${unresolved.join(", ")}; ` +
            "repeat them with --figures on a quieter machine, or with a higher --rounds-max",
        ]),
  ];
}

export function comparisonAsJson(rows: readonly ComparedRow[], at: ComparisonAt): object {
  const described = (row: ComparedRow) => ({
    ratio: row.judgement.ratio,
    low: row.judgement.low,
    high: row.judgement.high,
    ...(row.judged ? { verdict: verdictOf(row) } : {}),
    ...(row.comparedBy === undefined ? {} : { comparedBy: row.comparedBy }),
    ...(row.unit === undefined ? {} : { unit: row.unit }),
    ...(row.failure === undefined ? {} : { failure: row.failure }),
    better: row.better,
    rounds: row.pairs.length,
    own: side(row.pairs.map(([own]) => own)),
    other: side(row.pairs.map(([, other]) => other)),
  });
  const entries = (judged: boolean) =>
    Object.fromEntries(rows.filter((row) => row.judged === judged).map((row) => [row.name, described(row)]));
  return {
    ...at,
    worse: named(rows, "worse"),
    unresolved: named(rows, "unresolved"),
    figures: entries(true),
    information: entries(false),
  };
}

function side(samples: readonly number[]): object {
  return { median: median(samples), samples };
}
