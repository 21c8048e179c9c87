/** The restart strategy and its options, as `machines/leader/restart.ts` takes them. */
import type { RestartStrategy } from "../../machines/protocol.ts";
import { isRestartDetail, optionKeys } from "./options.ts";
import type { Settings } from "./settings.ts";

/** `attempts` without a limit is Number.MAX_SAFE_INTEGER. */
export type RestartConfig = RestartStrategy;

/**
 * @param intervalMs of checkpoints; null: there are none
 * @param repeats what a restart without checkpoints would do again or lose, in words; undefined: nothing
 */
export function restartOf(
  settings: Settings,
  intervalMs: number | null,
  repeats: string | undefined,
): RestartConfig {
  const strategy = strategyOf(settings, intervalMs, repeats);
  settings.refuseOptionsOfOtherStrategies(strategy);
  switch (strategy) {
    case "exponential-delay": {
      const initialBackoffMs = settings.get("restart.initialBackoff");
      return {
        strategy,
        initialBackoffMs,
        maxBackoffMs: maxBackoffOf(settings, initialBackoffMs),
        backoffMultiplier: settings.get("restart.backoffMultiplier"),
        jitterFactor: settings.get("restart.jitterFactor"),
        resetBackoffThresholdMs: settings.get("restart.resetBackoffThreshold"),
        attemptsBeforeResetBackoff: settings.get("restart.attemptsBeforeResetBackoff"),
      };
    }
    case "fixed-delay":
      return {
        strategy,
        attempts: settings.get("restart.attempts") ?? Number.MAX_SAFE_INTEGER,
        delayMs: settings.get("restart.delay"),
      };
    case "failure-rate":
      return {
        strategy,
        maxFailuresPerInterval: settings.get("restart.maxFailuresPerInterval"),
        failureRateIntervalMs: settings.get("restart.failureRateInterval"),
        delayMs: settings.get("restart.delay"),
      };
    case "none":
      return { strategy };
  }
}

/**
 * Flink restarts no job without checkpoints unless a strategy is set. Here one whose output waits for its last
 * checkpoint may begin again: nothing of it was written. An option of a strategy asks for that strategy.
 */
function strategyOf(
  settings: Settings,
  intervalMs: number | null,
  repeats: string | undefined,
): RestartConfig["strategy"] {
  const asked = settings.get("restart.strategy");
  const isChosen =
    settings.isSet("restart.strategy") ||
    optionKeys.some((key) => isRestartDetail(key) && settings.isSet(key));
  if (isChosen || intervalMs !== null || repeats === undefined) return asked;
  return settings.adjust(
    "restart.strategy",
    "none",
    `there are no checkpoints, and a restart would ${repeats}`,
  );
}

const MAX_BACKOFF_MS = 60_000;

function maxBackoffOf(settings: Settings, initialBackoffMs: number): number {
  const asked = settings.get("restart.maxBackoff");
  if (asked === undefined) {
    const most = Math.max(MAX_BACKOFF_MS, initialBackoffMs);
    settings.adjust("restart.maxBackoff", most, "1 m, or restart.initialBackoff if that is longer");
    return most;
  }
  if (asked < initialBackoffMs)
    settings.refuse("restart.maxBackoff", "must not be less than restart.initialBackoff");
  return asked;
}
