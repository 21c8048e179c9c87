/** The restart strategy and its options, as `machines/restart.ts` takes them. */
import type { Settings } from "./settings.ts";

export type RestartConfig =
  | {
      readonly strategy: "exponential-delay";
      readonly initialBackoffMs: number;
      readonly maxBackoffMs: number;
      readonly backoffMultiplier: number;
      readonly jitterFactor: number;
      readonly resetBackoffThresholdMs: number;
      /** null: without a limit. */
      readonly attemptsBeforeResetBackoff: number | null;
    }
  /** `attempts` without a limit is Number.MAX_SAFE_INTEGER. */
  | { readonly strategy: "fixed-delay"; readonly attempts: number; readonly delayMs: number }
  | {
      readonly strategy: "failure-rate";
      readonly maxFailuresPerInterval: number;
      readonly failureRateIntervalMs: number;
      readonly delayMs: number;
    }
  | { readonly strategy: "none" };

export function restartOf(settings: Settings): RestartConfig {
  const strategy = settings.get("restart.strategy");
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

const MAX_BACKOFF_MS = 60_000;

function maxBackoffOf(settings: Settings, initialBackoffMs: number): number {
  const asked = settings.get("restart.maxBackoff");
  if (asked === undefined) {
    const most = Math.max(MAX_BACKOFF_MS, initialBackoffMs);
    settings.settle("restart.maxBackoff", most, "1 m, or restart.initialBackoff if that is longer");
    return most;
  }
  if (asked < initialBackoffMs)
    settings.refuse("restart.maxBackoff", "must not be less than restart.initialBackoff");
  return asked;
}
