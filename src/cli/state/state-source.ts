/** Where `tidemark state` reads from: a retained checkpoint of a job, or a savepoint. */
import { planOfCheckpoint } from "../../../machines/leader/rescale.ts";
import type { CompletedCheckpoint, GraphPlan, JobRecord, Manifest } from "../../../machines/protocol.ts";
import { readSavepoint, splitLocation } from "../../checkpoint/savepoint.ts";
import {
  ConfigurationError,
  describeError,
  EnvironmentError,
  ObjectCorruptError,
  ObjectMissingError,
  RequestRefusedError,
} from "../../errors.ts";
import type { ClusterView } from "../assembly.ts";
import { checkPlace } from "../commands/client.ts";
import { age, moment } from "../output/text.ts";
import {
  explained,
  isDamage,
  readCheckpoint,
  readJob,
  recordsOf,
  whileRetained,
} from "../stored/retained.ts";
import type { ReadObject } from "./stored-tables.ts";

/** What it is, so that a reader knows how old. */
export type ReadFrom =
  | {
      readonly kind: "checkpoint";
      readonly checkpointId: number;
      readonly completedAtMs: number;
      readonly ageMs: number;
    }
  | {
      readonly kind: "savepoint";
      readonly location: string;
      readonly checkpointId: number;
      readonly createdAtMs: number;
      readonly ageMs: number;
    }
  | { readonly kind: "live"; readonly generation: number };

export interface StateSource {
  readonly job: string;
  readonly from: ReadFrom;
  readonly plan: GraphPlan;
  readonly splits: JobRecord["splits"];
  readonly manifest: Manifest;
  readonly read: ReadObject;
}

export interface SourceFlags {
  readonly checkpoint?: number;
  readonly savepoint?: string;
}

/** "checkpoint 12 of job words, completed …, 3 s ago" */
export function describeFrom(job: string, from: ReadFrom): string {
  switch (from.kind) {
    case "checkpoint": {
      const { checkpointId, completedAtMs, ageMs } = from;
      return `checkpoint ${checkpointId} of job ${job}, completed ${moment(completedAtMs)}, ${age(0, ageMs)} ago`;
    }
    case "savepoint": {
      const { location, createdAtMs, ageMs } = from;
      return `savepoint ${location} of job ${job}, taken ${moment(createdAtMs)}, ${age(0, ageMs)} ago`;
    }
    case "live":
      return `job ${job}, live, generation ${from.generation}`;
  }
}

/**
 * @param look reads from it. Called again where the checkpoint was replaced meanwhile; `false` from `mayRepeat` then
 *   ends the command
 * @throws RequestRefusedError when there is no such job, checkpoint or savepoint; ObjectCorruptError,
 *   ObjectMissingError
 */
export async function withSource(
  view: ClusterView,
  job: string,
  { checkpoint, savepoint }: SourceFlags,
  look: (source: StateSource) => Promise<void>,
  mayRepeat: () => boolean = () => true,
): Promise<void> {
  if (checkpoint !== undefined && savepoint !== undefined)
    throw new ConfigurationError(
      "savepoint",
      "--checkpoint and --savepoint name two places: give one of them",
    );
  if (savepoint !== undefined) return look(await savepointSource(view, job, savepoint));
  const records = await recordsOf(view, job);
  const storage = await view.findStorage();
  const { damage, checkpointId } = await whileRetained(
    () => readJob(records, job),
    async (record) => {
      const meant = checkpointOf(record, checkpoint);
      const found = await readCheckpoint(meant, storage);
      const problem =
        "damage" in found ? found.damage : await looked(look, sourceOf(record, meant, found.manifest));
      if (problem !== undefined && !mayRepeat()) throw replaced(job, meant, problem);
      return {
        damage: problem,
        checkpointId: meant.checkpointId,
        damagedCheckpoints: problem === undefined ? [] : [meant.checkpointId],
      };
    },
  );
  if (damage !== undefined) throw explained(damage, job, `checkpoint ${checkpointId} cannot be read`);

  function sourceOf(record: JobRecord, meant: CompletedCheckpoint, manifest: Manifest): StateSource {
    const { checkpointId: id, completedAtMs } = meant;
    const ageMs = Math.max(0, Date.now() - completedAtMs);
    return {
      job,
      from: { kind: "checkpoint", checkpointId: id, completedAtMs, ageMs },
      plan: planOfCheckpoint(record, id),
      splits: record.splits,
      manifest,
      read: (object) => storage.get(object),
    };
  }
}

/** Answers the damage that was met. */
async function looked(
  look: (source: StateSource) => Promise<void>,
  source: StateSource,
): Promise<ObjectMissingError | ObjectCorruptError | undefined> {
  try {
    await look(source);
    return undefined;
  } catch (error) {
    if (isDamage(error)) return error;
    throw error;
  }
}

/** Half of it is printed, so it cannot be read anew from a younger one. */
function replaced(job: string, { checkpointId }: CompletedCheckpoint, damage: Error): Error {
  return new EnvironmentError(
    `checkpoint ${checkpointId} of job ${job} could not be read to its end: ${damage.message}. If the job has replaced it meanwhile, retain more of them (checkpointing.retained), or read a savepoint: "tidemark savepoint ${job} --to PLACE"`,
    { cause: damage },
  );
}

function checkpointOf({ job, checkpoints }: JobRecord, id: number | undefined): CompletedCheckpoint {
  const found = id === undefined ? checkpoints.at(-1) : checkpoints.find((one) => one.checkpointId === id);
  if (found !== undefined) return found;
  const known = checkpoints.map(({ checkpointId }) => checkpointId).join(", ");
  throw new RequestRefusedError(
    id === undefined
      ? `job ${job} has no retained checkpoint, so no state of it can be read; --savepoint LOCATION reads a savepoint, --live the running job`
      : `job ${job} has no checkpoint ${id}; ${known === "" ? "it retains none" : `it retains ${known}`}`,
  );
}

async function savepointSource(view: ClusterView, job: string, location: string): Promise<StateSource> {
  checkPlace("--savepoint", location);
  const { root } = splitLocation(location);
  try {
    const storage = await view.openStorage(root, "find");
    const { manifest, plan, splits, createdAtMs } = await readSavepoint(location, storage);
    if (manifest.job !== job)
      throw new RequestRefusedError(
        `savepoint ${location} is of job ${manifest.job}, not of ${job}: give that name`,
      );
    const ageMs = Math.max(0, Date.now() - createdAtMs);
    const { checkpointId } = manifest;
    return {
      job,
      from: { kind: "savepoint", location, checkpointId, createdAtMs, ageMs },
      plan,
      splits,
      manifest,
      read: (object) => storage.get(object),
    };
  } catch (error) {
    const isAbsent = error instanceof ObjectMissingError || error instanceof EnvironmentError;
    if (!isAbsent && !(error instanceof ObjectCorruptError)) throw error;
    throw new RequestRefusedError(`savepoint ${location} cannot be read: ${describeError(error)}`, {
      cause: error,
    });
  }
}
