/** Whether the output of a run is right, however its last life has ended. */
import type { DrawnJob, Item } from "../drawing.ts";
import type { Ending } from "../user.ts";
import { type Circumstances, expectedAt, findingsAt } from "./oracle.ts";

export interface Run {
  readonly ending: Ending;
  /** The job was drained once, or told to be. */
  readonly drains: boolean;
  readonly outputs: ReadonlyMap<string, readonly Item[]>;
}

export function verdictOf(drawn: DrawnJob, { ending, drains, outputs }: Run): string[] {
  const endsVaguely = drains ? "plain-sinks" : "nowhere";
  if (ending === "complete") return compare(drawn, outputs, { endsVaguely });
  const findings: string[] = [];
  const read = readOf(drawn, outputs, findings);
  // Nothing else and no more than all of the input comes to.
  findings.push(...compare(drawn, outputs, { endsVaguely: "everywhere" }, "at-most"));
  if (read === undefined) return findings;
  const { checkpointing } = drawn.options;
  const isWhole = drawn.operators.every(({ kind }) => kind !== "loop") && checkpointing?.unaligned !== true;
  if (ending === "drained") findings.push(...compareTransactional(drawn, outputs, { read, endsVaguely }));
  else if (isWhole && checkpointing?.mode !== "at-least-once")
    findings.push(
      ...compareTransactional(drawn, outputs, { read, drained: false, endsVaguely: "everywhere" }),
    );
  return findings;
}

/** All sinks show one cut through the job: what comes of exactly the input that the taps show. */
function compareTransactional(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  circumstances: Circumstances,
): string[] {
  const sinks = drawn.sinks.filter(({ guarantee }) => guarantee === "exactly-once");
  return compare({ ...drawn, sinks }, outputs, circumstances);
}

export function compare(
  drawn: DrawnJob,
  outputs: Run["outputs"],
  circumstances: Circumstances,
  bound: "exactly" | "at-most" = "exactly",
): string[] {
  return [...expectedAt(drawn, circumstances)].flatMap(([sink, expected]) =>
    findingsAt(sink, expected, outputs.get(sink) ?? [], bound),
  );
}

/** How far each split was read, as the taps show it; undefined: a source has none. */
function readOf(
  drawn: DrawnJob,
  outputs: Run["outputs"],
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
        const mine = came.filter(({ by }) => by === `${id}/${i}`);
        const isPrefix = mine.every(({ at }, index) => at === index + 1);
        if (!isPrefix) findings.push(`tap ${tap.id}: split ${id}/${i} came as ${mine.map(({ at }) => at)}`);
        return split.slice(0, mine.length);
      }),
    );
  }
  return read;
}
