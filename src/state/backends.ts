/** Where a worker's process has keyed state: what a job's option `state.backend` comes to. */
import { HeapBackend } from "./heap/backend.ts";
import type { OpenBackend } from "./keyed-state.ts";

export interface StateBackends {
  /** Opens the backends of one generation. */
  of(generation: number): OpenBackend;
  /** Lets all that is left go, also files. */
  close(): Promise<void>;
}

export const heapBackends: StateBackends = {
  of: () => (options) => new HeapBackend(options),
  close: async () => undefined,
};
