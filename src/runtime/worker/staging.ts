/** Durable bytes of one sink subtask's transactions (P15): named by sink, writer and a counter of this generation. */
import { type CheckpointStorage, objectNames } from "../../checkpoint/storage.ts";
import { pause } from "../../control/link.ts";
import type { StagingArea } from "../../dataflow/sink.ts";
import { retryOf } from "../../errors.ts";

const RETRY_MS = 250;
/** Objects looked for at a time. */
const LOOKUPS_MAX = 16;

export interface StagingOptions {
  readonly storage: CheckpointStorage;
  readonly at: {
    readonly job: string;
    readonly incarnation: string;
    readonly generation: number;
    readonly sink: string;
    readonly writer: number;
  };
  /** Ends the repetition: the generation is over. */
  readonly signal: AbortSignal;
}

export function createStagingArea(options: StagingOptions): StagingArea {
  const { storage, at, signal } = options;
  let part = 0;
  return {
    put(content) {
      const name = objectNames.transaction({ ...at, part: part++ });
      return untilItWorks(() => storage.put(name, [content], signal), signal);
    },
    get: (handle) => untilItWorks(() => storage.get(handle), signal),
    async assertPresent(handles) {
      for (let at = 0; at < handles.length; at += LOOKUPS_MAX) {
        const some = handles.slice(at, at + LOOKUPS_MAX);
        await Promise.all(some.map((handle) => untilItWorks(() => storage.assertPresent(handle), signal)));
      }
    },
  };
}

/** Repeats what fails in passing; the generation's end makes the last error final. */
export async function untilItWorks<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || retryOf(error) !== "now") throw error;
      await pause(RETRY_MS, signal);
    }
  }
}
