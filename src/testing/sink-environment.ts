/** What the cases of a sink give it: an environment as the engine makes it, and a staging area in memory. */
import { createHash } from "node:crypto";
import type { ObjectHandle } from "../checkpoint/storage.ts";
import type { Logger } from "../dataflow/connector.ts";
import type { Committable, SinkEnvironment, SinkWriter, StagingArea } from "../dataflow/sink.ts";
import type { TroubleWatcher } from "../dataflow/trouble.ts";
import { ObjectMissingError } from "../errors.ts";
import { pause } from "../timer.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const untroubled: TroubleWatcher = { watch: () => ({ failed() {}, passed() {}, forget() {} }) };

/** Keeps what is staged in memory, for as long as the test keeps it. */
export class MemoryStaging implements StagingArea {
  readonly objects = new Map<string, Uint8Array>();
  /** How long each `put` takes. */
  delayMs = 0;

  async put(content: Uint8Array): Promise<ObjectHandle> {
    if (this.delayMs > 0) await pause(this.delayMs);
    const name = `staged/${this.objects.size}`;
    this.objects.set(name, Uint8Array.from(content));
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    return { name, bytes: content.length, digest };
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const found = this.objects.get(handle.name);
    if (found === undefined) throw new ObjectMissingError(handle.name, `${handle.name} is missing`);
    return found;
  }

  async assertPresent(handles: readonly ObjectHandle[]): Promise<void> {
    for (const handle of handles) await this.get(handle);
  }

  /** Takes an object away. Answers how to bring it back. */
  async lose(handle: ObjectHandle): Promise<() => Promise<void>> {
    const content = await this.get(handle);
    this.objects.delete(handle.name);
    return async () => void this.objects.set(handle.name, content);
  }
}

/** The environment of the only subtask of sink "out" in the first generation of a job, but for what is given. */
export function sinkEnvironment(at: Partial<SinkEnvironment> = {}): SinkEnvironment {
  const generation = at.generation ?? 1;
  return {
    job: "contract",
    logger: silent,
    troubles: untroubled,
    signal: new AbortController().signal,
    nats: undefined,
    incarnation: "life1",
    generation,
    nonce: `nonce${generation}`,
    operator: "out",
    subtaskIndex: 0,
    parallelism: 1,
    fail(error) {
      throw error;
    },
    staging: new MemoryStaging(),
    restoredCheckpointId: 0,
    restoredState: undefined,
    ...at,
  };
}

/**
 * Writes the records and cuts them as transaction `checkpointId`.
 * @returns plain data, as if it came out of a manifest
 */
export async function prepareTransaction<T>(
  writer: SinkWriter<T>,
  checkpointId: number,
  records: readonly T[],
): Promise<Committable> {
  for (const record of records) writer.write(record, 0);
  const transaction = writer.cut(checkpointId);
  if (transaction === undefined) throw new Error("nothing was cut");
  return JSON.parse(JSON.stringify(await transaction.prepared())) as Committable;
}
