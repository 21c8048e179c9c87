/** Durable bytes of one sink subtask's transactions (P15): named by sink, writer and a counter of this generation. */
import { type CheckpointStorage, type ObjectHandle, objectNames } from "../../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { StagingArea } from "../../../dataflow/sink.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { retryOf } from "../../../errors.ts";

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
  readonly troubles: TroubleWatcher;
  readonly clock: Clock;
  /** Aborts when the generation is over: what is repeated then ends. */
  readonly signal: AbortSignal;
}

export function createStagingArea(options: StagingOptions): StagingArea {
  const { storage, at, signal, troubles, clock } = options;
  // Each act has a watch of its own: several may be under way, and one that works says nothing of the others.
  const staging = () => troubles.watch(`staging output of ${at.sink} in ${storage.description}`);
  const reading = () => troubles.watch(`reading staged output of ${at.sink} from ${storage.description}`);
  let part = 0;
  return {
    put(content) {
      const name = objectNames.transaction({ ...at, part: part++ });
      return retryPassing(() => storage.put(name, [content], signal), signal, staging(), clock);
    },
    get: (handle) => retryPassing(() => storage.get(handle), signal, reading(), clock),
    async assertPresent(handles) {
      for (let at = 0; at < handles.length; at += LOOKUPS_MAX) {
        const some = handles.slice(at, at + LOOKUPS_MAX);
        await Promise.all(
          some.map((handle) => retryPassing(() => storage.assertPresent(handle), signal, reading(), clock)),
        );
      }
    },
  };
}

/** Reads objects of checkpoints for as long as it takes, until the generation ends. */
export function readerOf({
  storage,
  troubles,
  signal,
  clock,
}: Pick<StagingOptions, "storage" | "troubles" | "signal" | "clock">): (
  object: ObjectHandle,
) => Promise<Uint8Array> {
  const watch = () => troubles.watch(`reading checkpoints from ${storage.description}`);
  return (object) => retryPassing(() => storage.get(object), signal, watch(), clock);
}

/** Repeats what fails in passing; the generation's end makes the last error final. */
export async function retryPassing<T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  watch: TroubleWatch,
  clock: Clock,
): Promise<T> {
  for (;;) {
    try {
      const result = await work();
      watch.passed();
      return result;
    } catch (error) {
      if (signal.aborted || retryOf(error) !== "now") {
        watch.forget();
        throw error;
      }
      watch.failed(error);
      await pauseOn(clock, RETRY_MS, signal);
    }
  }
}
