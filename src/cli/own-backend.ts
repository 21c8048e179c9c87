/** Keyed state in a backend of the user's own, from the module that `state.backend` names. */
import { show } from "../config/quantity.ts";
import { ConfigurationError } from "../errors.ts";
import { importOwn } from "../job/code/import-own.ts";
import type { StateBackends } from "../state/backends.ts";
import type { KeyedBackend } from "../state/contract.ts";
import type { OpenBackend } from "../state/keyed-state.ts";

const KEY = "state.backend";

const FUNCTIONS = [
  ...["openTable", "setCurrentKey", "leaveCurrentKey", "snapshot", "restored", "restorer", "keys", "close"],
] as const;

const NEEDED = `  import type { OpenBackend } from "tidemark";
  const open: OpenBackend = (options) => new MyBackend(options);
  export default open;`;

/**
 * @param path of the module, absolute
 * @throws ConfigurationError that names the module and what is missing from it
 */
export async function openOwnBackends(path: string): Promise<StateBackends> {
  const exported = await importOwn(`${KEY}: module`, KEY, path);
  const open = exported.default;
  if (typeof open !== "function") {
    const what = "default" in exported ? `its default export is ${show(open)}` : "it has no default export";
    throw refusal(
      path,
      `must export a function by default that opens a backend, but ${what}. What is needed:\n\n${NEEDED}`,
    );
  }
  return {
    of: () => (options) => checked(path, (open as OpenBackend)(options)),
    close: async () => undefined,
  };
}

function checked(path: string, opened: unknown): KeyedBackend {
  if (typeof opened !== "object" || opened === null)
    throw refusal(path, `its default export answers ${show(opened)}, and no backend (KeyedBackend)`);
  const backend = opened as Readonly<Record<string, unknown>>;
  const missing = FUNCTIONS.filter((name) => typeof backend[name] !== "function").map((name) => `${name}()`);
  if (missing.length === 0) return opened as KeyedBackend;
  throw refusal(
    path,
    `what its default export answers lacks ${missing.join(", ")}: it must be a KeyedBackend; its tests are ` +
      '"stateBackendCases" of tidemark/testing',
  );
}

function refusal(path: string, problem: string): ConfigurationError {
  return new ConfigurationError(KEY, `${KEY}: module ${path}: ${problem}`);
}
