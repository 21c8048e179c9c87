/**
 * How stormy one run is: the rate of each kind of fault is drawn by the seed, and many rates are nothing (swarm
 * testing).
 */
import type { Random } from "../chaos/random.ts";

export interface Weather {
  /** Shares of messages. */
  readonly loss: number;
  readonly repetition: number;
  /** The share of messages that take long. */
  readonly slow: number;
  readonly slowMs: number;
  /** Shares of the writes of records: outcome unknown though it is stored, though it is not, and stored only later. */
  readonly unknownStored: number;
  readonly unknownLost: number;
  readonly late: number;
  /** Shares of what is asked of the storage. */
  readonly storageFails: number;
  readonly storageSlow: number;
  /** Shares of what is asked of the sink's target: it is done, or not, and no answer comes. */
  readonly targetUnknown: number;
  /** Mean time between two faults of each kind; Infinity: there are none. */
  readonly everyMs: Readonly<Record<FaultKind, number>>;
}

const EVERY_MS_MIN = 2000;
const EVERY_MS_MAX = 32_000;

export const FAULT_KINDS = [
  "crash-worker",
  "crash-coordinator",
  "pause-worker",
  "pause-coordinator",
  "cut-worker",
  "cut-coordinator",
  "step-clock",
  "forge-worker",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** Nothing is lost and all is quick. */
export const CALM: Weather = {
  loss: 0,
  repetition: 0,
  slow: 0,
  slowMs: 0,
  unknownStored: 0,
  unknownLost: 0,
  late: 0,
  storageFails: 0,
  storageSlow: 0,
  targetUnknown: 0,
  everyMs: Object.fromEntries(FAULT_KINDS.map((kind) => [kind, Number.POSITIVE_INFINITY])) as Record<
    FaultKind,
    number
  >,
};

const CALM_SHARE = 0.05;

export function drawWeather(random: Random): Weather {
  if (random.next() < CALM_SHARE) return CALM;
  const share = (most: number): number => (random.next() < 0.5 ? 0 : random.next() ** 2 * most);
  const gap = (): number =>
    random.next() < 0.5
      ? Number.POSITIVE_INFINITY
      : EVERY_MS_MIN + random.next() * (EVERY_MS_MAX - EVERY_MS_MIN);
  return {
    loss: share(0.05),
    repetition: share(0.05),
    slow: share(0.1),
    slowMs: 20 + random.next() ** 2 * 3000,
    unknownStored: share(0.3),
    unknownLost: share(0.3),
    late: share(0.1),
    storageFails: share(0.3),
    storageSlow: share(0.2),
    targetUnknown: share(0.3),
    everyMs: Object.fromEntries(FAULT_KINDS.map((kind) => [kind, gap()])) as Record<FaultKind, number>,
  };
}
