/** How the output of a run is judged: counts of what is wrong, and words for the first of it. */
import { isDeepStrictEqual } from "node:util";

export interface OutputVerdict {
  readonly lost: number;
  readonly duplicated: number;
  readonly outOfOrder: number;
  /** Right records with a wrong value: the state was not that of exactly the records before. */
  readonly wrong: number;
  readonly findings: readonly string[];
}

type Fault = Exclude<keyof OutputVerdict, "findings">;

export const FINDINGS_MAX = 20;

export class Judgement implements OutputVerdict {
  lost = 0;
  duplicated = 0;
  outOfOrder = 0;
  wrong = 0;
  readonly findings: string[] = [];

  note(kind: Fault, by: number, text: string): void {
    this[kind] += by;
    if (this.findings.length < FINDINGS_MAX) this.findings.push(`${kind}: ${text}`);
  }

  /** What is wrong, and does not count records. */
  add(findings: readonly string[]): void {
    this.findings.push(...findings.slice(0, FINDINGS_MAX - this.findings.length));
  }
}

/** What an event-time workload writes. Branch, key and `of` name a row: it comes out once. */
export interface Row {
  readonly branch: string;
  readonly key: string;
  readonly of: string | number;
  readonly value: unknown;
}

export interface ExpectedRow extends Row {
  /** The rows of a branch and key come in this order. Default: in any. */
  readonly rank?: number;
}

export interface RowAt {
  readonly sequence: number;
  readonly row: Row;
}

const nameOf = ({ branch, key, of }: Row): string => `${branch} of ${key}: ${of}`;

/** Each expected row comes once, with its value, in its order, and nothing else does. */
export function checkRows(expected: Iterable<ExpectedRow>, output: readonly RowAt[]): Judgement {
  const judgement = new Judgement();
  const missing = new Map<string, ExpectedRow>();
  for (const row of expected) {
    if (missing.has(nameOf(row))) throw new Error(`two rows are expected as "${nameOf(row)}"`);
    missing.set(nameOf(row), row);
  }
  const seen = new Map<string, ExpectedRow>();
  const lastRanks = new Map<string, number>();
  for (const { sequence, row } of output) {
    const name = nameOf(row);
    const at = `${name}, ${JSON.stringify(row.value)} at sequence ${sequence}`;
    const wanted = missing.get(name) ?? seen.get(name);
    if (wanted === undefined) {
      judgement.note("wrong", 1, `${at} was not to come`);
      continue;
    }
    if (!isDeepStrictEqual(row.value, wanted.value))
      judgement.note("wrong", 1, `${at}, wanted ${JSON.stringify(wanted.value)}`);
    if (!missing.delete(name)) {
      judgement.note("duplicated", 1, at);
      continue;
    }
    seen.set(name, wanted);
    if (wanted.rank === undefined) continue;
    const group = `${row.branch} of ${row.key}`;
    const last = lastRanks.get(group) ?? Number.NEGATIVE_INFINITY;
    if (wanted.rank < last) judgement.note("outOfOrder", 1, `${at}: rank ${wanted.rank} behind ${last}`);
    lastRanks.set(group, Math.max(last, wanted.rank));
  }
  for (const name of missing.keys()) judgement.note("lost", 1, name);
  return judgement;
}
