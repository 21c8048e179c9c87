/**
 * What must hold at every moment of a run, seen from outside: at each write of the record, each commit at a sink's
 * target, and each deletion in the storage. All processes of a simulation are one, so the order of these is exact.
 *
 * - (C1) The ids of completed checkpoints grow, and each was reserved.
 * - (C2) Nothing is committed at a target before the record has decided it.
 * - (C3) The transactions of a writer are committed in the order of their checkpoints, each part once, none left half
 *   done.
 * - (C5) The generation and the token of a record never fall; nor does the generation along the markers of a writer.
 * - (C6) What the record names is there: it is stored before, and deleted after.
 *
 * Two more are judged elsewhere. C4 (a restored state is that of exactly the records before the barrier) shows in the
 * output, which an oracle judges, and in what is stored (stored-state.ts); C7 (the job goes on once the faults have
 * stopped) is a bound of virtual time in simulate.ts.
 */
import type { CompletedCheckpoint, JobRecord, Manifest, ObjectHandle } from "../../../machines/protocol.ts";
import { parseManifest } from "../../../src/formats/manifest.ts";
import type { TransactionMarker } from "../../../src/formats/transactions/transaction-marker.ts";
import type { ReadObject } from "./stored-state.ts";

export class Invariants {
  readonly findings: string[] = [];
  /** Told of each completed checkpoint, once. */
  onCompleted: (manifest: Manifest) => void = () => {};
  readonly #read: ReadObject;
  /** By job. */
  readonly #records = new Map<string, JobRecord>();
  /** By incarnation: ids up to here may be committed. */
  readonly #decided = new Map<string, number>();
  readonly #markers = new Map<string, TransactionMarker>();
  /** By name of the manifest: what it names, itself included. */
  readonly #named = new Map<string, ReadonlySet<string>>();
  /** By job: what its record names. */
  readonly #kept = new Map<string, readonly ReadonlySet<string>[]>();

  constructor(read: ReadObject) {
    this.#read = read;
  }

  recordStored(record: JobRecord): void {
    const before = this.#records.get(record.job);
    this.#records.set(record.job, record);
    const { incarnation, checkpoints, savepoints, reservedCheckpointId } = record;
    if (before !== undefined) {
      this.#fell("token (C5)", before.token, record.token);
      this.#fell("generation (C5)", before.generation, record.generation);
      if (before.incarnation === incarnation) this.#compare(before, record);
    }
    const completed = checkpoints.at(-1)?.checkpointId ?? 0;
    if (completed > reservedCheckpointId && record.origin === null)
      this.findings.push(`C1: checkpoint ${completed} was completed and never reserved`);
    const last = Math.max(0, completed, ...savepoints.map(({ checkpointId }) => checkpointId));
    this.#decided.set(incarnation, Math.max(this.#decided.get(incarnation) ?? 0, last));
    const kept = checkpoints.map((checkpoint) => this.#namedBy(checkpoint));
    this.#kept.set(record.job, kept);
  }

  /** @param key of the marker: whose transactions they are */
  committed(key: string, marker: TransactionMarker): void {
    const before = this.#markers.get(key);
    this.#markers.set(key, marker);
    const at = `${key}, checkpoint ${marker.checkpointId}, part ${marker.part}`;
    const decided = this.#decided.get(marker.incarnation) ?? 0;
    if (marker.checkpointId > decided)
      this.findings.push(`C2: ${at} was committed when checkpoint ${decided} was the last decided one`);
    if (before === undefined) return;
    if (marker.generation < before.generation)
      this.findings.push(`C5: ${at}: generation ${marker.generation} wrote after ${before.generation}`);
    if (marker.generation === before.generation && marker.nonce !== before.nonce)
      this.findings.push(`C5: ${at}: two writers of generation ${marker.generation}`);
    this.#checkOrder(at, before, marker);
  }

  deleted(name: string): void {
    if (this.isKept(name)) this.findings.push(`C6: ${name} is deleted while the record names it`);
  }

  /** @param ended the job has come to its end, so nothing is under way. @returns all that was found */
  ended(ended: boolean): readonly string[] {
    const present = new Set([...this.#records.values()].map(({ incarnation }) => incarnation));
    for (const [key, { incarnation, checkpointId, part, parts }] of this.#markers)
      if (ended && part !== parts && present.has(incarnation))
        this.findings.push(
          `C3: ${key}: ${part} of ${parts} parts of checkpoint ${checkpointId} are committed`,
        );
    return this.findings;
  }

  /** What the present records and their manifests name. */
  isKept(name: string): boolean {
    for (const kept of this.#kept.values()) if (kept.some((names) => names.has(name))) return true;
    return false;
  }

  /** The names of all that there ever were. */
  jobs(): readonly string[] {
    return [...this.#records.keys()];
  }

  has(job: string, statuses: readonly JobRecord["status"][]): boolean {
    const status = this.#records.get(job)?.status;
    return status !== undefined && statuses.includes(status);
  }

  /** Every job has one of these statuses. */
  haveAll(statuses: readonly JobRecord["status"][]): boolean {
    return [...this.#records.values()].every(({ status }) => statuses.includes(status));
  }

  #compare(before: JobRecord, after: JobRecord): void {
    this.#fell("reservation (C1)", before.reservedCheckpointId, after.reservedCheckpointId);
    const [was, is] = [before.checkpoints.at(-1), after.checkpoints.at(-1)];
    if (was !== undefined && is !== undefined)
      this.#fell("last completed checkpoint (C1)", was.checkpointId, is.checkpointId);
  }

  #fell(what: string, before: number, after: number): void {
    if (after < before) this.findings.push(`the record's ${what} fell from ${before} to ${after}`);
  }

  #checkOrder(at: string, before: TransactionMarker, { checkpointId, part }: TransactionMarker): void {
    if (checkpointId < before.checkpointId) this.findings.push(`C3: ${at} came after ${before.checkpointId}`);
    else if (checkpointId > before.checkpointId) {
      if (part !== 1) this.findings.push(`C3: ${at} is not the first part`);
      if (before.part !== before.parts)
        this.findings.push(
          `C3: ${at} came when ${before.checkpointId} had ${before.part} of ${before.parts}`,
        );
    } else if (part !== before.part && part !== before.part + 1)
      this.findings.push(`C3: ${at} came after part ${before.part}`);
  }

  #namedBy({ checkpointId, manifest }: CompletedCheckpoint): ReadonlySet<string> {
    const known = this.#named.get(manifest.name);
    if (known !== undefined) return known;
    const names = new Set([manifest.name]);
    this.#named.set(manifest.name, names);
    const content = this.#read(manifest.name);
    const found = content && parseManifest(content, manifest.name);
    namesIn(found, names);
    for (const name of names)
      if (this.#read(name) === undefined)
        this.findings.push(`C6: the record names checkpoint ${checkpointId}, and ${name} is not there`);
    if (found !== undefined) this.onCompleted(found);
    return names;
  }
}

/** Every handle of an object, wherever it stands in a manifest. */
function namesIn(value: unknown, names: Set<string>): void {
  if (typeof value !== "object" || value === null) return;
  const { name, digest } = value as Partial<ObjectHandle>;
  if (typeof name === "string" && typeof digest === "string") names.add(name);
  for (const inner of Object.values(value)) namesIn(inner, names);
}
