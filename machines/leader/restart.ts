/**
 * Whether and when a failed job is started again (Flink's restart strategies).
 *
 * Owns: the count and the times of failures. Does not own: what a restart is (job.ts). Times and chance enter with the
 * events.
 *
 * R1  Failures until the job is running again belong to one attempt (P2).
 * R2  A failure that no repetition can mend skips the strategy.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { RestartStrategy } from "../protocol.ts";
import type { JobEvent } from "./job-events.ts";

export interface RestartInput {
  readonly strategy: RestartStrategy;
}

export type RestartEvent =
  | {
      readonly type: "failure.reported";
      readonly atMs: number;
      /** Uniform in [-1, 1). */
      readonly chance: number;
      readonly recoverable: boolean;
    }
  | { readonly type: "job.recovered"; readonly atMs: number };

export interface RestartEffects {
  "tell.job": { readonly event: JobEvent };
}

interface Context extends RestartInput {
  /** Restarts since the last reset: what a strategy limits. */
  readonly attempts: number;
  /** Failures since the last reset, those of one attempt included: what the delay grows with. */
  readonly streak: number;
  /** failure-rate: the last failures, newest last, at most max + 1 of them. */
  readonly failuresMs: readonly number[];
  /** When the job last ran again; null while it has not since the last failure. */
  readonly recoveredAtMs: number | null;
  readonly delayMs: number;
}

const clamp = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);

function delayOf(strategy: RestartStrategy, streak: number, chance: number): number {
  if (strategy.strategy === "none") return 0;
  if (strategy.strategy !== "exponential-delay") return strategy.delayMs;
  const backoffMs = strategy.initialBackoffMs * strategy.backoffMultiplier ** (streak - 1);
  const boundedMs = Math.min(backoffMs, strategy.maxBackoffMs);
  return clamp(
    Math.round(boundedMs * (1 + chance * strategy.jitterFactor)),
    strategy.initialBackoffMs,
    strategy.maxBackoffMs,
  );
}

function isDenied(context: Context): boolean {
  const { strategy } = context;
  switch (strategy.strategy) {
    case "none":
      return true;
    case "fixed-delay":
      return context.attempts > strategy.attempts;
    case "failure-rate": {
      const oldest = context.failuresMs[0] ?? 0;
      const newest = context.failuresMs.at(-1) ?? 0;
      return (
        context.failuresMs.length > strategy.maxFailuresPerInterval &&
        newest - oldest <= strategy.failureRateIntervalMs
      );
    }
    case "exponential-delay":
      return (
        strategy.attemptsBeforeResetBackoff !== null && context.attempts > strategy.attemptsBeforeResetBackoff
      );
  }
}

const machine = setup({
  types: {} as { context: Context; events: RestartEvent; input: RestartInput },
  actions: {
    ...declareEffects<RestartEffects>({ "tell.job": true }),
    countAttempt: assign(({ context, event }) => {
      if (event.type !== "failure.reported") return {};
      const { strategy } = context;
      const quiet =
        strategy.strategy === "exponential-delay" &&
        context.recoveredAtMs !== null &&
        event.atMs - context.recoveredAtMs >= strategy.resetBackoffThresholdMs;
      const attempts = quiet ? 1 : context.attempts + 1;
      const streak = quiet ? 1 : context.streak + 1;
      const keep = strategy.strategy === "failure-rate" ? strategy.maxFailuresPerInterval + 1 : 1;
      return {
        attempts,
        streak,
        failuresMs: [...context.failuresMs, event.atMs].slice(-keep),
        recoveredAtMs: null,
        delayMs: delayOf(strategy, streak, event.chance),
      };
    }),
    growDelay: assign(({ context, event }) =>
      event.type !== "failure.reported"
        ? {}
        : {
            streak: context.streak + 1,
            delayMs: delayOf(context.strategy, context.streak + 1, event.chance),
          },
    ),
    noteRecovery: assign(({ event }) => ({ recoveredAtMs: event.atMs })),
  },
  guards: {
    unrecoverable: ({ event }) => event.type === "failure.reported" && !event.recoverable,
    denied: ({ context }) => isDenied(context),
  },
});

export const restartMachine = machine.createMachine({
  id: "restart",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    ...input,
    attempts: 0,
    streak: 0,
    failuresMs: [],
    recoveredAtMs: null,
    delayMs: 0,
  }),
  initial: "steady",
  states: {
    steady: {
      description: "The job runs, or has never failed.",
      on: {
        "failure.reported": [
          { guard: "unrecoverable", target: "denied" },
          { target: "judging", actions: "countAttempt" },
        ],
        // The first run of a job is reported as well.
        "job.recovered": {},
      },
    },
    judging: {
      description: "The failure is counted; does the strategy still grant a restart?",
      always: [{ guard: "denied", target: "denied" }, { target: "attempting" }],
    },
    attempting: {
      description: "A restart was granted; failures until the job runs again belong to it (R1).",
      entry: {
        type: "tell.job",
        params: ({ context }) => ({ event: { type: "restart.granted", delayMs: context.delayMs } }),
      },
      on: {
        "failure.reported": [
          { guard: "unrecoverable", target: "denied" },
          { target: "attempting", reenter: true, actions: "growDelay" },
        ],
        "job.recovered": { target: "steady", actions: "noteRecovery" },
      },
    },
    denied: {
      description: "The job fails for good, after its decided transactions are committed (P18).",
      entry: { type: "tell.job", params: { event: { type: "restart.denied" } } },
      on: { "failure.reported": {} },
    },
  },
});
