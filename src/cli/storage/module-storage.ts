/** A storage of the user's own, from the module that `checkpointing.storage` names. */
import { GuardedStorage } from "../../checkpoint/guarded-storage.ts";
import type { CheckpointStorage, StorageRequest } from "../../checkpoint/storage.ts";
import { show } from "../../config/quantity.ts";
import { ConfigurationError, describeError, TidemarkError } from "../../errors.ts";
import { importOwn } from "../../job/code/import-own.ts";

const KEY = "checkpointing.storage";

const FUNCTIONS = ["put", "get", "assertPresent", "delete", "list", "listUnfinished"] as const;

const NEEDED = `  import type { OpenCheckpointStorage } from "tidemark";
  const open: OpenCheckpointStorage = async ({ access, prefix }) => new MyStorage(prefix);
  export default open;`;

/**
 * @param path of the module, absolute
 * @throws ConfigurationError that names the module and what is missing from it; what its function throws keeps its own
 *   class where that is one of ours
 */
export async function openModuleStorage(path: string, request: StorageRequest): Promise<CheckpointStorage> {
  const exported = await importOwn(`${KEY}: module`, KEY, path);
  const open = exported.default;
  if (typeof open !== "function") {
    const what = "default" in exported ? `its default export is ${show(open)}` : "it has no default export";
    const text = `must export a function by default that opens the storage, but ${what}. What is needed:\n\n${NEEDED}`;
    throw refusal(path, text);
  }
  const opened = await opening(path, async () => (await open(request)) as unknown);
  assertStorage(path, opened);
  return new GuardedStorage(opened);
}

async function opening(path: string, open: () => Promise<unknown>): Promise<unknown> {
  try {
    return await open();
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    throw refusal(path, `its default export has thrown: ${describeError(cause)}`, cause);
  }
}

function assertStorage(path: string, opened: unknown): asserts opened is CheckpointStorage {
  if (typeof opened !== "object" || opened === null)
    throw refusal(path, `its default export answers ${show(opened)}, and no storage (CheckpointStorage)`);
  const storage = opened as Readonly<Record<string, unknown>>;
  const missing = FUNCTIONS.filter((name) => typeof storage[name] !== "function").map((name) => `${name}()`);
  if (typeof storage.description !== "string" || storage.description === "") missing.unshift("description");
  if (missing.length === 0) return;
  throw refusal(
    path,
    `what its default export answers lacks ${missing.join(", ")}: it must be a CheckpointStorage; ` +
      'its tests are "storageCases" of tidemark/testing',
  );
}

function refusal(path: string, problem: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError(KEY, `${KEY}: module ${path}: ${problem}`, { cause });
}
