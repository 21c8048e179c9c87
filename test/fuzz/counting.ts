/** What the fuzzed job reads and writes, and what its output must be, computed from the input stream alone. */
import { checkOutput, type OutputAt } from "../chaos/checkers.ts";
import type { InputRecord, OutputRecord } from "../support/graphs/keyed-count.ts";
import type { StoredMessage } from "../support/servers/streams.ts";

export const JOB = "fuzzed";
export const INPUT = "IN";
export const OUTPUT = "OUT";
export const LAPS_OUTPUT = "LAPS";
export const SPLITS = 4;

const FINDINGS_MAX = 20;

export interface Lapped extends InputRecord {
  readonly laps: number;
}

/** How often a record goes round. */
export const lapsOf = ({ n }: InputRecord): number => 1 + (n % 4);

export interface Verdict {
  readonly lost: number;
  readonly duplicated: number;
  /** Out of order, with another count than that of exactly the records before, or of no input. */
  readonly wrong: number;
  readonly findings: readonly string[];
}

/** @param messages what the streams of that name hold, in order */
export function judge(messages: { readonly [stream: string]: readonly StoredMessage[] }): Verdict {
  const input = (messages[INPUT] ?? []).map(({ text }) => JSON.parse(text) as InputRecord);
  const counts = recordsOf<OutputRecord>(messages[OUTPUT] ?? []);
  const counted = checkOutput(input, counts.records);
  const arrived = recordsOf<Lapped>(messages[LAPS_OUTPUT] ?? []);
  const lapped = checkLaps(
    input,
    arrived.records.map(({ record }) => record),
  );
  const unreadable = counts.unreadable + arrived.unreadable;
  return {
    lost: counted.lost + lapped.lost,
    duplicated: counted.duplicated + lapped.duplicated,
    wrong: counted.wrong + counted.outOfOrder + lapped.wrong + unreadable,
    findings: [...counted.findings, ...lapped.findings],
  };
}

/** Each record arrives once, after as many laps as it has to run; where it lies says nothing. */
function checkLaps(input: readonly InputRecord[], arrived: readonly Lapped[]): Verdict {
  const waiting = new Map(input.map((record) => [nameOf(record), record]));
  const seen = new Set<string>();
  const verdict = { lost: 0, duplicated: 0, wrong: 0 };
  const findings: string[] = [];
  for (const record of arrived) {
    const name = nameOf(record);
    const wanted = waiting.get(name);
    if (seen.has(name)) verdict.duplicated++;
    else if (wanted === undefined || record.laps !== lapsOf(wanted)) verdict.wrong++;
    if (seen.has(name) || wanted === undefined || record.laps !== lapsOf(wanted))
      findings.push(`${name} has arrived after ${record.laps} laps${seen.has(name) ? ", again" : ""}`);
    seen.add(name);
  }
  for (const name of waiting.keys()) {
    if (seen.has(name)) continue;
    verdict.lost++;
    findings.push(`${name} has not arrived`);
  }
  return { ...verdict, findings: findings.slice(0, FINDINGS_MAX) };
}

const nameOf = ({ key, n }: InputRecord): string => `${key} n=${n}`;

const isMarker = ({ subject }: StoredMessage): boolean => subject.startsWith("tidemark-marker.");

function recordsOf<T extends OutputRecord | Lapped>(
  messages: readonly StoredMessage[],
): { readonly records: (OutputAt & { readonly record: T })[]; readonly unreadable: number } {
  const records: (OutputAt & { readonly record: T })[] = [];
  let unreadable = 0;
  for (const message of messages) {
    if (isMarker(message)) continue;
    try {
      records.push({ sequence: message.sequence, record: JSON.parse(message.text) });
    } catch {
      unreadable++;
    }
  }
  return { records, unreadable };
}
