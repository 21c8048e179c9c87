/**
 * What a checkpoint or savepoint holds, looked at where it is stored (C4): the keyed state is what the oracle computes
 * from exactly the input in front of the stored positions.
 *
 * - SI1 Bytes are read by the engine's own parsers; what they must hold comes from jobs/oracle/state-oracle.ts, which
 *   shares no code with the engine.
 * - SI2 A checkpoint that holds records on their way is left out: they are read, and in no state yet.
 */
import { inspect, isDeepStrictEqual } from "node:util";
import type { Manifest, StatePiece } from "../../../machines/protocol.ts";
import { splitsIn } from "../../../src/dataflow/operators/source.ts";
import type { SnapshotBytes } from "../../../src/state/contract.ts";
import {
  readChunkDeletions,
  readChunkHeader,
  readChunkKeys,
  readChunkValues,
} from "../../../src/state/snapshot/chunk.ts";
import { ColumnDecoder } from "../../../src/state/snapshot/columns.ts";
import { type DrawnJob, type Item, lastOf } from "../jobs/drawing.ts";
import { type ExpectedTable, expectedTables, keyText, valueText } from "../jobs/oracle/state-oracle.ts";

/** The stored bytes of an object; undefined: it is not there. */
export type ReadObject = (name: string) => Uint8Array | undefined;

/** Rows by the text of their key; tables by operator and state. */
type StoredTables = ReadonlyMap<string, ReadonlyMap<string, unknown>>;

const FINDINGS_MAX = 5;

export class StoredState {
  readonly findings: string[] = [];
  /** Checkpoints and savepoints whose state was compared. */
  compared = 0;
  /** What was among all that were looked at (`coverageOf`). */
  readonly covered = new Set<string>();

  /** @param drawn in its present life */
  look(drawn: DrawnJob, manifest: Manifest, read: ReadObject): void {
    this.#note(manifest);
    if (drawn.options.checkpointing?.mode === "at-least-once") return;
    // A position does not say which of the records in front of it had gone.
    if (drawn.sources.some(({ retention }) => retention !== undefined)) return;
    if (manifest.subtasks.some(({ channels }) => channels.some(({ records }) => records > 0))) return;
    const input = inputBefore(drawn, manifest);
    if (input === undefined) return;
    this.compared++;
    const at = `C4: checkpoint ${manifest.checkpointId} of ${manifest.job}`;
    const stored = storedTables(manifest, read);
    for (const table of expectedTables(drawn, input)) this.#compare(at, table, stored);
    for (const { id, kind } of drawn.operators) if (kind === "collection") this.#compareLast(at, id, stored);
  }

  #note({ subtasks, checkpointId }: Manifest): void {
    const pieces = subtasks.flatMap(({ states }) =>
      states.flatMap((state) => (state.kind === "keyed" ? state.pieces : [])),
    );
    if (pieces.some(({ changes }) => changes === true)) this.covered.add("checkpoint in layers");
    const isOlder = ({ content }: StatePiece): boolean =>
      !(content instanceof Uint8Array) && !content.name.includes(`/checkpoint-${checkpointId}/`);
    if (pieces.some(isOlder)) this.covered.add("objects of older checkpoints");
  }

  #compare(at: string, { operator, state, rows: wanted }: ExpectedTable, stored: StoredTables): void {
    const found = stored.get(`${operator} ${state}`) ?? new Map<string, unknown>();
    for (const key of new Set([...wanted.keys(), ...found.keys()])) {
      const [is, must] = [
        found.has(key) ? valueText(found.get(key)) : "nothing",
        wanted.get(key) ?? "nothing",
      ];
      if (is !== must) this.#tell(`${at}: ${operator}.${state}, key ${key}: ${is}, not ${must}`);
    }
  }

  /** What `collection` has seen last has one of many shapes, and shows in no output. */
  #compareLast(at: string, operator: string, stored: StoredTables): void {
    for (const [key, last] of stored.get(`${operator} last`) ?? []) {
      const all = stored.get(`${operator} all`)?.get(key) as readonly number[] | undefined;
      const wanted = lastOf(all?.at(-1) ?? -1);
      if (!isDeepStrictEqual(last, wanted))
        this.#tell(`${at}: ${operator}.last, key ${key}: ${inspect(last)}, not ${inspect(wanted)}`);
    }
  }

  #tell(finding: string): void {
    if (this.findings.length < FINDINGS_MAX) this.findings.push(finding);
  }
}

/** What was read of each split; undefined: the checkpoint does not say it of all. */
export function inputBefore(
  { sources }: DrawnJob,
  { subtasks }: Manifest,
): ReadonlyMap<string, readonly (readonly Item[])[]> | undefined {
  const states = subtasks.flatMap((subtask) => subtask.states);
  const input = new Map<string, readonly (readonly Item[])[]>();
  for (const { id, splits } of sources) {
    const positions = new Map(
      (splitsIn(states, id) ?? []).map(({ split, position }) => [split.id, position]),
    );
    if (positions.size < splits.length) return undefined;
    input.set(
      id,
      splits.map((items, i) => items.slice(0, (positions.get(String(i)) as number | undefined) ?? 0)),
    );
  }
  return input;
}

function storedTables({ subtasks }: Manifest, read: ReadObject): StoredTables {
  const tables = new Map<string, Map<string, unknown>>();
  for (const handle of subtasks.flatMap(({ states }) => states)) {
    if (handle.kind !== "keyed") continue;
    const name = `${handle.operator} ${handle.state}`;
    const rows = tables.get(name) ?? new Map<string, unknown>();
    tables.set(name, rows);
    for (const { content } of handle.pieces) {
      const bytes = content instanceof Uint8Array ? content : read(content.name);
      if (bytes !== undefined) readRows({ object: name, bytes }, rows);
    }
  }
  return tables;
}

function readRows(source: SnapshotBytes, rows: Map<string, unknown>): void {
  const columns = new ColumnDecoder();
  for (let at = 0; at < source.bytes.byteLength; ) {
    const header = readChunkHeader(source, at);
    const deleted = readChunkDeletions(source, header);
    const values = readChunkValues(source, header, header.entries - (deleted?.size ?? 0), columns);
    let next = 0;
    for (const [row, key] of readChunkKeys(source, header, deleted).entries()) {
      // All of a namespace: none of the tables that are compared has any.
      if (key === undefined) continue;
      if (deleted?.has(row) === true) rows.delete(keyText(key));
      else rows.set(keyText(key), values[next++]);
    }
    at = header.end;
  }
}
