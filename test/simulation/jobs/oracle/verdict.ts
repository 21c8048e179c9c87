/** Whether the output of a run is right, however its last life has ended. */
import type { DrawnJob, DrawnOperator, Item } from "../drawing.ts";
import type { Ending } from "../user.ts";
import { type Bound, findingsAt } from "./findings.ts";
import { type Changed, type Circumstances, expectedAt } from "./oracle.ts";

const HOLDING_KINDS: readonly DrawnOperator["kind"][] = [
  "loop",
  "request",
  "pause",
  "lookup",
  "gather",
  "relay",
];

/** Whether an item of a split was there and has gone. @param at its sequence */
export type IsGone = (source: string, split: number, at: number) => boolean;

export interface Run {
  readonly ending: Ending;
  /** The job was drained once, or told to be. */
  readonly drains: boolean;
  readonly outputs: ReadonlyMap<string, readonly Item[]>;
  readonly isGone: IsGone;
  /** Operators that went on without state. */
  readonly changes: readonly Changed[];
  /** What a savepoint held pending was written though it may have been there. */
  readonly writtenAgain: boolean;
}

export function verdictOf(drawn: DrawnJob, run: Run): string[] {
  const { ending, outputs, isGone, changes, writtenAgain } = run;
  const endsVaguely = run.drains ? "plain-sinks" : "nowhere";
  const past = { changes, writtenAgain };
  if (ending === "complete") return compareComplete(drawn, outputs, isGone, { endsVaguely, ...past });
  // Nothing else and no more than all of the input comes to.
  const findings = compare(drawn, outputs, { endsVaguely: "everywhere", ...past }, "at-most");
  // The outputs hold what the job had read before it went back behind the savepoint, too.
  const read = writtenAgain ? undefined : readOf(drawn, outputs, isGone, findings);
  if (read === undefined) return findings;
  const { checkpointing } = drawn.options;
  // Records in a loop, and those that wait for an answer or a timer, are read and in no output yet.
  const holds = drawn.operators.some(({ kind }) => HOLDING_KINDS.includes(kind));
  const mayOvertake = checkpointing?.unaligned !== false;
  const isWhole = !holds && !mayOvertake;
  if (ending === "drained")
    findings.push(...compareTransactional(drawn, outputs, { read, endsVaguely, ...past }));
  else if (isWhole && checkpointing?.mode !== "at-least-once") {
    const circumstances = { read, drained: false, endsVaguely: "everywhere" } as const;
    findings.push(...compareTransactional(drawn, outputs, { ...circumstances, ...past }));
  }
  return findings;
}

/** All input was read, except for what had gone before. */
export function compareComplete(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  isGone: IsGone,
  circumstances: Circumstances,
): string[] {
  const findings: string[] = [];
  const read = new Map<string, readonly (readonly Item[])[]>();
  for (const { id, splits, retention } of drawn.sources) {
    if (retention === undefined) {
      read.set(id, splits);
      continue;
    }
    const shown = new Set((outputs.get(`tap-${id}`) ?? []).map(placeOf));
    for (const [split, items] of splits.entries())
      for (const item of items)
        if (!shown.has(placeOf(item)) && !isGone(id, split, item.at))
          findings.push(`source ${id}: ${placeOf(item)} is there and was not read`);
    read.set(
      id,
      splits.map((items) => items.filter((item) => shown.has(placeOf(item)))),
    );
  }
  if (drawn.sources.every(({ retention }) => retention === undefined))
    return compare(drawn, outputs, { ...circumstances, read });
  // A sink without transactions may also hold what was read once, and had gone when the job was restored.
  const plain = drawn.sinks.filter(({ guarantee }) => guarantee === "at-least-once");
  return [
    ...findings,
    ...compareTransactional(drawn, outputs, { ...circumstances, read }),
    ...compare({ ...drawn, sinks: plain }, outputs, { ...circumstances, read }, "at-least"),
    ...compare({ ...drawn, sinks: plain }, outputs, { endsVaguely: "everywhere" }, "at-most"),
  ];
}

const placeOf = ({ by, at }: Item): string => `${by} #${at}`;

/** All sinks show one cut through the job: what comes of exactly the input that the taps show. */
function compareTransactional(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  circumstances: Circumstances,
): string[] {
  const sinks = drawn.sinks.filter(({ guarantee }) => guarantee === "exactly-once");
  return compare({ ...drawn, sinks }, outputs, circumstances);
}

function compare(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  circumstances: Circumstances,
  bound: Bound = "exactly",
): string[] {
  return [...expectedAt(drawn, circumstances)].flatMap(([sink, expected]) =>
    findingsAt(sink, expected, outputs.get(sink) ?? [], bound),
  );
}

/** What was read of each split, as the taps show it; undefined: a source has none. */
function readOf(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  isGone: IsGone,
  findings: string[],
): ReadonlyMap<string, readonly (readonly Item[])[]> | undefined {
  const read = new Map<string, readonly (readonly Item[])[]>();
  for (const { id, splits } of drawn.sources) {
    const tap = drawn.sinks.find(({ taps }) => taps === id);
    if (tap === undefined) return undefined;
    const came = outputs.get(tap.id) ?? [];
    read.set(
      id,
      splits.map((split, i) => {
        const mine = came.filter(({ by }) => by === `${id}/${i}`).map(({ at }) => at);
        const shown = new Set(mine);
        const isInOrder = mine.every((at, index) => index === 0 || at > mine[index - 1]!);
        const before = split.filter(({ at }) => at <= (mine.at(-1) ?? 0));
        if (!isInOrder || before.some(({ at }) => !shown.has(at) && !isGone(id, i, at)))
          findings.push(`tap ${tap.id}: split ${id}/${i} came as ${mine}`);
        return split.filter(({ at }) => shown.has(at));
      }),
    );
  }
  return read;
}
