/** Whether the retained checkpoints of a job are whole, and what else lies in its storage (C6, P20, P21). */
import type { JobRecord, ObjectHandle } from "../../../machines/protocol.ts";
import { objectsOf, type Standing, unreachable } from "../../checkpoint/reachability.ts";
import {
  type CheckpointStorage,
  type FoundObject,
  listAll,
  objectNames,
  type StoredObject,
} from "../../checkpoint/storage.ts";
import { type ObjectCorruptError, ObjectMissingError } from "../../errors.ts";
import { counted, size, table } from "../output/text.ts";
import { isDamage, type Look, type Retained, readRetained } from "./retained.ts";

/** What a retained checkpoint needs and storage does not give. */
export interface DamagedObject {
  readonly kind: "missing" | "corrupt";
  readonly name: string;
  /** What it is, in words. */
  readonly purpose: string;
  /** Every retained checkpoint that needs it. */
  readonly checkpoints: readonly number[];
  readonly reason: string;
}

export interface ExtraObject extends FoundObject {
  /** null: its name is not one that we give. */
  readonly generation: number | null;
  /** `unknown`: a manifest that cannot be read may name it. */
  readonly standing: Standing | "unknown";
}

export interface Verification extends Look {
  readonly job: string;
  readonly generation: number;
  readonly storage: string;
  /** The bytes were read, or only names and sizes. */
  readonly compared: "bytes" | "sizes";
  readonly checkpoints: readonly {
    readonly checkpointId: number;
    readonly objects: number;
    readonly bytes: number;
    readonly whole: boolean;
  }[];
  readonly damage: readonly DamagedObject[];
  /** How many objects of the job are there at all. */
  readonly stored: number;
  /** Below the job's prefix, and nothing reachable names them. */
  readonly unreachable: readonly ExtraObject[];
}

/** @param fast compare names and sizes only. @throws StorageStalledError: what is there cannot be told */
export async function verify(
  record: JobRecord,
  storage: CheckpointStorage,
  fast: boolean,
): Promise<Verification> {
  const retained = await readRetained(record, storage);
  const found = await listAll(storage, objectNames.job(record.job));
  const stored = found.filter(({ unfinished }) => !unfinished);

  const needed = neededBy(retained);
  const check = fast ? sizeCheck(stored, storage) : byteCheck(storage);
  // What is whole as an object may still be no manifest.
  const unreadable = new Map(
    retained.flatMap((one) => ("damage" in one ? [[one.checkpoint.manifest.name, one.damage]] : [])),
  );
  const damage: DamagedObject[] = [];
  for (const { handle, purpose, checkpoints } of needed) {
    const problem = (await check(handle)) ?? problemOf(unreadable.get(handle.name));
    if (problem !== undefined) damage.push({ name: handle.name, purpose, checkpoints, ...problem });
  }
  const damagedCheckpoints = [...new Set(damage.flatMap(({ checkpoints }) => checkpoints))];
  const reached = new Set(needed.map(({ handle }) => handle.name));
  const manifestsRead = retained.every((one) => "manifest" in one);
  return {
    job: record.job,
    generation: record.generation,
    storage: storage.description,
    compared: fast ? "sizes" : "bytes",
    checkpoints: retained.map(({ checkpoint: { checkpointId } }) => {
      const objects = needed.filter(({ checkpoints }) => checkpoints.includes(checkpointId));
      return {
        checkpointId,
        objects: objects.length,
        bytes: objects.reduce((sum, { handle }) => sum + handle.bytes, 0),
        whole: !damagedCheckpoints.includes(checkpointId),
      };
    }),
    damage,
    stored: stored.length,
    unreachable: unreachable(record, reached, found).map((object) =>
      object.standing === "collectable" && !manifestsRead ? { ...object, standing: "unknown" } : object,
    ),
    damagedCheckpoints,
  };
}

interface Need {
  readonly handle: ObjectHandle;
  readonly purpose: string;
  readonly checkpoints: number[];
}

/** Each object once, although checkpoints share some. */
function neededBy(retained: readonly Retained[]): Need[] {
  const needs = new Map<string, Need>();
  for (const one of retained) {
    const { checkpoint } = one;
    const objects =
      "manifest" in one
        ? objectsOf(checkpoint, one.manifest)
        : [{ handle: checkpoint.manifest, purpose: "manifest" }];
    for (const { handle, purpose } of objects) {
      const key = `${handle.name} ${handle.digest}`;
      const need = needs.get(key) ?? { handle, purpose, checkpoints: [] };
      if (!need.checkpoints.includes(checkpoint.checkpointId)) need.checkpoints.push(checkpoint.checkpointId);
      needs.set(key, need);
    }
  }
  return [...needs.values()];
}

type Problem = Pick<DamagedObject, "kind" | "reason"> | undefined;

/** What is not listed as it should be is looked at: it may be no object at all. */
function sizeCheck(
  stored: readonly StoredObject[],
  storage: CheckpointStorage,
): (handle: ObjectHandle) => Promise<Problem> {
  const sizes = new Map(stored.map(({ name, bytes }) => [name, bytes]));
  return async (handle) =>
    sizes.get(handle.name) === handle.bytes ? undefined : await damageOf(() => storage.assertPresent(handle));
}

function byteCheck(storage: CheckpointStorage): (handle: ObjectHandle) => Promise<Problem> {
  return (handle) => damageOf(() => storage.get(handle));
}

async function damageOf(look: () => Promise<unknown>): Promise<Problem> {
  try {
    await look();
    return undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return problemOf(error);
  }
}

function problemOf(damage: ObjectMissingError | ObjectCorruptError | undefined): Problem {
  if (damage === undefined) return undefined;
  return { kind: damage instanceof ObjectMissingError ? "missing" : "corrupt", reason: damage.message };
}

const STANDINGS: Readonly<Record<ExtraObject["standing"], string>> = {
  collectable: "can be collected",
  young: "in use or too young to tell: kept",
  foreign: "not a name of Tidemark: kept",
  unknown: "a manifest that cannot be read may name it: kept",
};

/** A person reads some names; all of them are in the JSON. */
const NAMES_SHOWN = 20;

export function describeVerification(found: Verification): string {
  const { job, checkpoints, damage, compared } = found;
  return [
    `job ${job}, generation ${found.generation}, in ${found.storage}; ${compared} compared`,
    ...(checkpoints.length === 0 ? ["no retained checkpoint"] : []),
    ...checkpoints.map(
      ({ checkpointId, objects, bytes, whole }) =>
        `checkpoint ${checkpointId}: ${counted(objects, "object")}, ${size(bytes)}: ${whole ? "whole" : "damaged"}`,
    ),
    ...damage.map(
      ({ kind, name, purpose, checkpoints: ids, reason }) =>
        `${kind}: ${name} (${purpose}; checkpoint ${ids.join(", ")}): ${reason}`,
    ),
    ...(checkpoints.length > 0 && found.stored === 0
      ? [
          "nothing of the job is there: give the --checkpoint-dir that its coordinators have, or none if they have none",
        ]
      : []),
    ...describeUnreachable(found.unreachable),
  ].join("\n");
}

function describeUnreachable(objects: readonly ExtraObject[]): string[] {
  if (objects.length === 0) return ["no unreachable object"];
  const kinds = new Map<string, ExtraObject[]>();
  for (const object of objects) {
    const generation = object.generation === null ? "no generation" : `generation ${object.generation}`;
    const kind = `unreachable, of ${generation}, ${STANDINGS[object.standing]}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), object]);
  }
  return [...kinds].map(([kind, found]) => {
    const bytes = found.reduce((sum, object) => sum + object.bytes, 0);
    const rows = found
      .slice(0, NAMES_SHOWN)
      .map((object) => [object.name, size(object.bytes) + (object.unfinished ? ", never finished" : "")]);
    const more = found.length > NAMES_SHOWN ? `\n  … and ${found.length - NAMES_SHOWN} more` : "";
    return `${kind}: ${counted(found.length, "object")}, ${size(bytes)}\n${table(rows, "  ")}${more}`;
  });
}
