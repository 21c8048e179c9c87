/** How the barriers of a checkpoint travel: a pure function of the job's configuration, and what they name. */
import type {
  CheckpointingConfig,
  CheckpointOptions,
  CheckpointRequest,
  CompletedCheckpoint,
} from "../../protocol.ts";
import { isOfStop } from "./checkpoint-requests.ts";

/**
 * Savepoints are aligned, without a timeout, whatever the job's mode: the state that the user owns is that of an exact
 * cut, without records of channels, other than those on their way back in a loop.
 */
export function checkpointOptionsOf(
  {
    mode,
    unaligned,
    alignedTimeoutMs,
    incremental,
  }: Pick<CheckpointingConfig, "mode" | "unaligned" | "alignedTimeoutMs" | "incremental">,
  triggeredAtMs: number,
  { savepoint, reason }: Pick<CheckpointRequest, "savepoint" | "reason">,
  latest: Pick<CompletedCheckpoint, "checkpointId"> | undefined,
): CheckpointOptions {
  const base = incremental ? (latest?.checkpointId ?? null) : null;
  const always = { triggeredAtMs, savepoint, stop: isOfStop({ reason }), base } as const;
  if (savepoint !== null) return { ...always, alignment: "aligned", alignedTimeoutMs: 0 };
  // Overtaking records buys nothing if no channel waits for barriers, so `unaligned` is without effect.
  if (mode === "at-least-once") return { ...always, alignment: "at-least-once", alignedTimeoutMs: 0 };
  if (!unaligned) return { ...always, alignment: "aligned", alignedTimeoutMs: 0 };
  return {
    ...always,
    alignment: alignedTimeoutMs > 0 ? "aligned-with-timeout" : "unaligned",
    alignedTimeoutMs,
  };
}
