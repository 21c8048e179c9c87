/** What `npm run bench --` takes. */
import { parseArgs } from "node:util";
import type { Figure } from "./figure.ts";

/** What the user asked for cannot be done; the message is one sentence with the next step. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface BenchArguments {
  readonly json: boolean;
  /** Names of figures, in the order of `all`. */
  readonly figures: ReadonlySet<string>;
  readonly rounds: number;
  /** Only of a comparison: no figure gets more rounds. */
  readonly roundsMax: number;
  readonly records: number;
  /** A missed floor fails. */
  readonly check: boolean;
  readonly syncAlways: boolean;
  /** Root of the other copy, as the user named it. */
  readonly against: string | undefined;
}

const ROUNDS = 5;
/** Even: each copy comes first as often as the other. */
const COMPARED_ROUNDS = 6;
const COMPARED_ROUNDS_MAX = 18;
const RECORDS = 600_000;
/** Below this the steady part of a run is shorter than what lies between two marks of its progress. */
const RECORDS_MIN = 50_000;
/** Frames of 100 records hold four times as many. */
const RECORDS_STEP = 100;

/**
 * @param args without node and the script
 * @param figures those that there are; "rssMb" stands for all that begin with "rssMb.". Large ones are among them only
 * where `--large` is there, or their whole name
 * @throws UsageError
 */
export function parseBenchArguments(
  args: readonly string[],
  figures: readonly Pick<Figure, "name" | "large">[],
): BenchArguments {
  const flags = parseFlags(args);
  const { against, check } = flags;
  if (against !== undefined && check) {
    throw new UsageError(
      "--check compares with floors and --against with another copy: leave one of them out",
    );
  }
  if (against === undefined && flags["rounds-max"] !== undefined) {
    throw new UsageError(
      "--rounds-max bounds the rounds of a comparison: add --against DIR, or use --rounds",
    );
  }
  const least = against === undefined ? 1 : 2;
  const rounds = whole("rounds", flags.rounds, against === undefined ? ROUNDS : COMPARED_ROUNDS, least);
  const records = whole("records", flags.records, RECORDS, RECORDS_MIN);
  if (records % RECORDS_STEP !== 0) {
    throw new UsageError(`--records ${records}: use a multiple of ${RECORDS_STEP}`);
  }
  return {
    json: flags.json,
    figures: selected(
      [...flags.only, ...flags.figures.flatMap((list) => list.split(","))],
      figures,
      flags.large,
    ),
    rounds,
    roundsMax: whole("rounds-max", flags["rounds-max"], Math.max(rounds, COMPARED_ROUNDS_MAX), rounds),
    records,
    check,
    syncAlways: flags["sync-always"],
    against,
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        json: { type: "boolean", default: false },
        figures: { type: "string", multiple: true, default: [] },
        only: { type: "string", multiple: true, default: [] },
        large: { type: "boolean", default: false },
        rounds: { type: "string" },
        "rounds-max": { type: "string" },
        records: { type: "string" },
        check: { type: "boolean", default: false },
        "sync-always": { type: "boolean", default: false },
        against: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function selected(
  asked: readonly string[],
  figures: readonly Pick<Figure, "name" | "large">[],
  large: boolean,
): ReadonlySet<string> {
  const all = figures.map(({ name }) => name);
  const usual = figures.filter((figure) => large || figure.large !== true).map(({ name }) => name);
  const names = asked.map((name) => name.trim()).filter((name) => name !== "");
  if (names.length === 0) {
    if (asked.length > 0) throw new UsageError(`--figures names none; there are ${all.join(", ")}`);
    return new Set(usual);
  }
  const isPartOf = (figure: string, name: string) => figure === name || figure.startsWith(`${name}.`);
  const unknown = names.find((name) => !all.some((figure) => isPartOf(figure, name)));
  if (unknown !== undefined) {
    throw new UsageError(`there is no figure "${unknown}"; there are ${all.join(", ")}`);
  }
  const isAsked = (name: string) =>
    names.includes(name) || (usual.includes(name) && names.some((each) => isPartOf(name, each)));
  return new Set(all.filter(isAsked));
}

function whole(flag: string, text: string | undefined, byDefault: number, least: number): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`--${flag} ${text}: give a whole number from ${least} on`);
  }
  return value;
}
