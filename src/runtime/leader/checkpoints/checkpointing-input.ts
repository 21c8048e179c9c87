/** What the checkpointing machine of a job begins with: the job's options, and what is fixed. */
import type { CheckpointingInput } from "../../../../machines/leader/checkpoints/checkpointing-events.ts";
import type { CheckpointingConfig } from "../../../../machines/protocol.ts";

const RESERVED_IDS = 1000;
/** Flink's CheckpointRequestDecider. */
const QUEUE_MAX = 1000;
/**
 * A subtask reads its state for one after the other (P47), so more of them at once are not complete sooner; and the
 * record names each location that was begun (SV1), up to a bound above this one.
 */
export const SAVEPOINTS_MAX = 8;
const RETRY_MS = 200;

export function checkpointingInput(
  config: CheckpointingConfig,
): Omit<CheckpointingInput, "reservedCheckpointId" | "chance"> {
  return {
    intervalMs: config.intervalMs,
    minPauseMs: config.minPauseMs,
    maxConcurrent: config.maxConcurrent,
    tolerableFailures: config.tolerableFailures,
    forcesSavepoints: !config.unaligned && config.iterations !== "exact",
    savepointsMax: SAVEPOINTS_MAX,
    afterTasksFinish: config.afterTasksFinish,
    readyTimeoutMs: config.readyTimeoutMs,
    retryMs: RETRY_MS,
    queueMax: QUEUE_MAX,
    block: RESERVED_IDS,
  };
}
