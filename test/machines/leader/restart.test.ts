/** Restart strategies. A trace changes only with the protocol: update one only if you can say why. */

import { type RestartEvent, restartMachine } from "../../../machines/leader/restart.ts";
import type { RestartStrategy } from "../../../machines/protocol.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: RestartEvent) => ({ event });
const failed = (atMs: number, chance = 0, recoverable = true) =>
  take({ type: "failure.reported", atMs, chance, recoverable });
const recovered = (atMs: number) => take({ type: "job.recovered", atMs });

const story = (title: string, strategy: RestartStrategy, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: { restart: { machine: restartMachine, input: { strategy } } },
  steps,
});

const exponential = {
  strategy: "exponential-delay",
  initialBackoffMs: 1000,
  maxBackoffMs: 60_000,
  backoffMultiplier: 1.5,
  resetBackoffThresholdMs: 3_600_000,
  jitterFactor: 0.1,
  attemptsBeforeResetBackoff: null,
} as const;
const failureRate = {
  strategy: "failure-rate",
  maxFailuresPerInterval: 2,
  failureRateIntervalMs: 60_000,
  delayMs: 1000,
} as const;

describeTraces({
  machine: restartMachine,
  scenarios: {
    none: story("none: the first failure is final.   (Flink's restart strategies)", { strategy: "none" }, [
      failed(0),
    ]),
    "no-attempt": story(
      "fixed-delay, no attempts: the first failure is final.   (Flink's restart strategies)",
      { strategy: "fixed-delay", attempts: 0, delayMs: 1000 },
      [failed(0)],
    ),
    "fixed-delay": story(
      "fixed-delay, 2 attempts: two failures restart, the third is final.   (Flink's restart strategies)",
      { strategy: "fixed-delay", attempts: 2, delayMs: 1000 },
      [
        failed(0),
        recovered(2000),
        "A day of quiet does not reset the count.",
        failed(86_400_000),
        recovered(86_402_000),
        failed(86_403_000),
      ],
    ),
    "one-attempt": story(
      "Failures until the job runs again belong to one attempt.   (R1, P2)",
      { strategy: "fixed-delay", attempts: 1, delayMs: 1000 },
      [
        failed(0),
        "The deployment fails: the same attempt goes on.",
        failed(3000),
        recovered(5000),
        "Now it is the second attempt, one too many.",
        failed(6000),
      ],
    ),
    "failure-rate-within": story(
      "failure-rate, 2 a minute: the third failure exactly a minute after the first is final.   (Flink's restart strategies)",
      failureRate,
      [failed(1000), recovered(2000), failed(31_000), recovered(32_000), failed(61_000)],
    ),
    "failure-rate-beyond": story(
      "failure-rate, 2 a minute: a millisecond later it is not.   (Flink's restart strategies)",
      failureRate,
      [
        failed(1000),
        recovered(2000),
        failed(31_000),
        recovered(32_000),
        failed(61_001),
        recovered(62_000),
        "Of the last three failures the first is 31 s old now.",
        failed(91_000),
      ],
    ),
    "exponential-growth": story(
      "exponential-delay: grows by the factor, up to the maximum, without a limit of attempts.   (Flink's restart strategies)",
      { ...exponential, maxBackoffMs: 2000 },
      [
        failed(0),
        recovered(1500),
        failed(2000),
        recovered(4000),
        "2250 ms is cut to 2000.",
        failed(5000),
        recovered(8000),
        failed(9000),
      ],
    ),
    "exponential-jitter": story(
      "exponential-delay: the jitter is clamped between the initial and the maximal delay.   (Flink's restart strategies)",
      { ...exponential, maxBackoffMs: 2000 },
      [
        "1000 - 10 % would be below the initial delay.",
        failed(0, -1),
        recovered(1000),
        "1500 + 10 % and 1500 - 10 %.",
        failed(2000, 1),
        "Two failures of one attempt: the delay grows all the same. 2000 + 10 % would be above the maximum.",
        failed(3000, 1),
        recovered(5000),
        failed(6000, -0.5),
      ],
    ),
    "exponential-reset": story(
      "exponential-delay: an hour of quiet resets the delay, a millisecond less does not.   (Flink's restart strategies)",
      exponential,
      [
        failed(0),
        recovered(10_000),
        failed(10_000 + 3_599_999),
        recovered(4_000_000),
        "The threshold itself is quiet enough. It counts from when the job ran again, not from the failure.",
        failed(4_000_000 + 3_600_000),
      ],
    ),
    "exponential-limit": story(
      "exponential-delay with a limit of 1: the second attempt without quiet in between is final.   (Flink's restart strategies)",
      { ...exponential, attemptsBeforeResetBackoff: 1 },
      [failed(0), recovered(2000), failed(3_602_000), recovered(3_604_000), failed(3_605_000)],
    ),
    unrecoverable: story(
      "A failure that no repetition can mend skips the strategy.   (R2, P20, P24)",
      exponential,
      [failed(0, 0, false)],
    ),
    "unrecoverable-again": story("Also while a restart is under way.   (R2)", exponential, [
      failed(0),
      failed(3000, 0, false),
      "A job that ends for good needs no further answer.",
      failed(4000),
    ]),
    "first-run": story("The first run of a job is no recovery.   (P2)", exponential, [
      recovered(1000),
      failed(2000),
    ]),
  },
});
