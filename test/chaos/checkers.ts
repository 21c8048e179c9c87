/**
 * What must hold of a run, judged from outside: from the output stream, its markers, the job record and the event feed.
 *
 * Each checker answers with what it found, in words; nothing found is nothing wrong. Letters are those of the workloads
 * page (benchmarks 8): a oracle, b output log, c whole transactions, g fencing.
 */
import type { FeedEvent } from "../../src/observe/feed.ts";
import { keyGroupOf, ownerOf } from "../../src/state/key-groups.ts";
import { type InputRecord, nextFold, type OutputRecord } from "../support/graphs/keyed-count.ts";
import type { StoredMessage } from "../support/servers/streams.ts";
import type { SeenMarker, SeenRecord } from "./observer.ts";
import { FINDINGS_MAX, Judgement, type OutputVerdict } from "./verdict.ts";

export interface OutputAt {
  readonly sequence: number;
  readonly record: OutputRecord;
}

/**
 * (a) and (b): per key the records 1 to n, each once, in order, with the state of exactly those before, then one final.
 */
export function checkOutput(input: Iterable<InputRecord>, output: readonly OutputAt[]): OutputVerdict {
  const expected = new Map<string, { n: number; fold: number }>();
  for (const { key, n } of input) {
    expected.set(key, { n, fold: nextFold(expected.get(key)?.fold ?? 0, n) });
  }
  const judgement = new Judgement();
  for (const [key, records] of byKey(output)) {
    const want = expected.get(key);
    if (want === undefined) judgement.note("wrong", records.length, `${key} was never in the input`);
    else checkKey(key, want, records, judgement);
  }
  const written = byKey(output);
  for (const [key, { n }] of expected)
    if (!written.has(key)) judgement.note("lost", n + 1, `all records of ${key}`);
  return judgement;
}

function checkKey(
  key: string,
  want: { readonly n: number; readonly fold: number },
  records: readonly OutputAt[],
  judgement: Judgement,
): void {
  const folds = [0];
  for (let n = 1; n <= want.n; n++) folds.push(nextFold(folds[n - 1]!, n));
  const seen = new Set<number>();
  let last = 0;
  let finals = 0;
  for (const { sequence, record } of records) {
    const at = `${key} n=${record.n} count=${record.count} at sequence ${sequence}`;
    if (record.final === true) {
      finals++;
      if (finals > 1) judgement.note("duplicated", 1, `final ${at}`);
      if (record.count !== want.n || record.fold !== want.fold)
        judgement.note("wrong", 1, `final ${at}, wanted ${want.n}`);
      continue;
    }
    if (seen.has(record.n)) judgement.note("duplicated", 1, at);
    else {
      if (record.n < last) judgement.note("outOfOrder", 1, `${at} behind n=${last}`);
      if (finals > 0) judgement.note("outOfOrder", 1, `${at} behind the final count`);
      last = Math.max(last, record.n);
    }
    seen.add(record.n);
    if (record.count !== record.n || record.fold !== folds[record.n]) judgement.note("wrong", 1, at);
  }
  for (let n = 1; n <= want.n; n++) if (!seen.has(n)) judgement.note("lost", 1, `${key} n=${n}`);
  if (finals === 0) judgement.note("lost", 1, `the final count of ${key}`);
}

function byKey(output: readonly OutputAt[]): Map<string, OutputAt[]> {
  const keys = new Map<string, OutputAt[]>();
  for (const one of output) {
    const records = keys.get(one.record.key);
    if (records === undefined) keys.set(one.record.key, [one]);
    else records.push(one);
  }
  return keys;
}

export interface Placement {
  /** The numbers of subtasks that the sink may have had. */
  readonly parallelisms: readonly number[];
  readonly maxParallelism: number;
}

/**
 * (c) Records lie in the stream in whole parts: an unbroken run of sequences of one writer, with that writer's marker
 * right behind it (later markers roll older ones up, which leaves holes).
 */
export function checkWholeParts(
  messages: readonly StoredMessage[],
  markers: readonly SeenMarker[],
  isMarker: (subject: string) => boolean,
  keyOf: (message: StoredMessage) => string,
  { parallelisms, maxParallelism }: Placement,
): string[] {
  const findings: string[] = [];
  const writerOfMarker = new Map<number, number>();
  for (const { sequence, subject } of markers)
    writerOfMarker.set(sequence, Number(subject.slice(subject.lastIndexOf(".") + 1)));
  const last = messages.at(-1);
  if (last !== undefined && !isMarker(last.subject))
    findings.push(`the stream ends with a record, at ${last.sequence}`);
  let previous = 0;
  /** Of the records before this one, by the number of subtasks that there may have been; empty: there are none. */
  let writers: readonly Writer[] = [];
  const close = (sequence: number, closing: number | undefined): void => {
    if (writers.length > 0 && closing !== undefined && !writers.some(({ index }) => index === closing))
      findings.push(`records of writer ${told(writers)} before ${sequence} are closed by writer ${closing}`);
    writers = [];
  };
  for (const message of messages) {
    if (message.sequence !== previous + 1) close(previous + 1, writerOfMarker.get(previous + 1));
    previous = message.sequence;
    if (isMarker(message.subject)) {
      close(message.sequence, Number(message.subject.slice(message.subject.lastIndexOf(".") + 1)));
      continue;
    }
    const keyGroup = keyGroupOf(keyOf(message), maxParallelism);
    const owners = parallelisms.map((parallelism) => ({
      parallelism,
      index: ownerOf(keyGroup, parallelism, maxParallelism),
    }));
    const common = writers.filter((one) => owners.some((other) => isSame(one, other)));
    if (writers.length > 0 && common.length === 0)
      findings.push(
        `a part of writer ${told(writers)} goes on with a record of writer ${told(owners)} at ${previous}`,
      );
    writers = common.length === 0 ? owners : common;
  }
  return findings.slice(0, FINDINGS_MAX);
}

interface Writer {
  readonly parallelism: number;
  readonly index: number;
}

const isSame = (one: Writer, other: Writer): boolean =>
  one.parallelism === other.parallelism && one.index === other.index;

const told = (writers: readonly Writer[]): string =>
  [...new Set(writers.map(({ index }) => index))].join(" or ");

/** (c) and (g): along the stream a writer's generation never falls, and its progress only grows. */
export function checkMarkers(markers: readonly SeenMarker[]): string[] {
  const findings: string[] = [];
  const last = new Map<string, SeenMarker>();
  for (const seen of markers) {
    const before = last.get(seen.subject);
    last.set(seen.subject, seen);
    if (before === undefined) continue;
    const { marker } = seen;
    const at = `${seen.subject} at sequence ${seen.sequence}`;
    if (marker.generation < before.marker.generation)
      findings.push(
        `${at}: generation ${marker.generation} wrote after generation ${before.marker.generation}`,
      );
    if (marker.incarnation !== before.marker.incarnation) findings.push(`${at}: another incarnation`);
    if (marker.generation === before.marker.generation && marker.nonce !== before.marker.nonce)
      findings.push(`${at}: generation ${marker.generation} has two nonces`);
    const progress = compareProgress(before, seen);
    if (progress < 0) findings.push(`${at}: progress fell`);
    if (progress === 0 && marker.generation === before.marker.generation)
      findings.push(`${at}: a commit that moved nothing`);
  }
  return findings.slice(0, FINDINGS_MAX);
}

function compareProgress({ marker: a }: SeenMarker, { marker: b }: SeenMarker): number {
  return b.checkpointId - a.checkpointId || b.part - a.part;
}

/** C1, P2, P3: along the revisions of the record nothing goes back. */
export function checkRecords(records: readonly SeenRecord[]): string[] {
  const findings: string[] = [];
  let before: SeenRecord | undefined;
  for (const seen of records) {
    const { record } = seen;
    if (before !== undefined) {
      const at = `record revision ${seen.sequence}`;
      const fell = (what: string, was: number, is: number): void => {
        if (is < was) findings.push(`${at}: ${what} fell from ${was} to ${is}`);
      };
      fell("generation", before.record.generation, record.generation);
      fell("token", before.record.token, record.token);
      fell("reservation", before.record.reservedCheckpointId, record.reservedCheckpointId);
      const completed = record.checkpoints.at(-1)?.checkpointId;
      const completedBefore = before.record.checkpoints.at(-1)?.checkpointId ?? 0;
      if (completed !== undefined) fell("completed id", completedBefore, completed);
      if (completed !== undefined && completed > record.reservedCheckpointId)
        findings.push(`${at}: checkpoint ${completed} was completed and never reserved`);
    }
    before = seen;
  }
  return findings.slice(0, FINDINGS_MAX);
}

/** C2: no marker of a transaction, and no attempt to commit one, before the record had decided it. */
export function checkDecisions(
  records: readonly SeenRecord[],
  markers: readonly SeenMarker[],
  events: readonly FeedEvent[],
): string[] {
  const findings: string[] = [];
  const decisions: { readonly id: number; readonly atMs: number; readonly exact: boolean }[] = [];
  for (const { record, storedAtMs, gap } of records) {
    const id = record.checkpoints.at(-1)?.checkpointId ?? 0;
    if (id > (decisions.at(-1)?.id ?? 0)) decisions.push({ id, atMs: storedAtMs, exact: !gap });
  }
  const check = (what: string, id: number, atMs: number): void => {
    const decision = decisions.find((one) => one.id >= id);
    if (decision === undefined) return;
    if (decision.exact && atMs < decision.atMs - CLOCK_GRAIN_MS)
      findings.push(
        `${what} of ${id} came ${Math.round(decision.atMs - atMs)} ms before its decision (${decision.id})`,
      );
  };
  for (const { marker, storedAtMs, sequence } of markers)
    if (marker.checkpointId > 0) check(`marker ${sequence}`, marker.checkpointId, storedAtMs);
  for (const event of events) {
    if (!event.effects.includes("commit.transaction")) continue;
    const transaction = String(event.transaction ?? "");
    check(`commit by ${event.id}`, Number(transaction.slice(transaction.indexOf("@") + 1)), event.t);
  }
  return findings.slice(0, FINDINGS_MAX);
}

/** Events carry whole milliseconds. */
const CLOCK_GRAIN_MS = 2;
