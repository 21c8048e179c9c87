/**
 * When a job that scales by itself gets another number of subtasks: a pure function of what its workers have told.
 *
 * - QT1 It decides over a whole window, and over nothing that was measured before the last change: a burst, or the
 *   catching up behind a restart, is no reason.
 * - QT2 More subtasks: the busiest worker was busier than the target by half of what is left above it, and what the
 *   sources have left is not being worked off. As many as bring it to the target, at least one more.
 * - QT3 Fewer subtasks: for four windows the busiest worker was busy for less than half of the target, and the sources
 *   had no more left at the end than at the beginning. Never so few that the target would be missed.
 * - QT4 Never more than the workers have slots, nor beyond the bounds of the user.
 */

export interface ScalingConfig {
  readonly min: number;
  /** null: as many as the workers have slots. */
  readonly max: number | null;
  /** The part of its time, up to 1, that a worker should be busy. */
  readonly target: number;
  readonly windowMs: number;
  /** The least time between two changes. */
  readonly cooldownMs: number;
}

export interface LoadSample {
  readonly atMs: number;
  /** The part of its time, up to 1, that the busiest worker was busy since the sample before. */
  readonly utilization: number;
  /** How many records the sources have left to read; null: none of them tells. */
  readonly pending: number | null;
}

export interface ScalingBounds {
  /** What the job has now. */
  readonly parallelism: number;
  /** What the workers offer. */
  readonly slots: number;
  readonly maxParallelism: number;
}

export interface ScalingDecision {
  readonly parallelism: number;
  readonly reason: string;
}

const WINDOWS_TO_SHRINK = 4;

/** @param samples oldest first, all since the last change */
export function decideScaling(
  config: ScalingConfig,
  samples: readonly LoadSample[],
  { parallelism, slots, maxParallelism }: ScalingBounds,
): ScalingDecision | undefined {
  const { min, target, windowMs } = config;
  const most = Math.min(config.max ?? slots, slots, maxParallelism);
  const recent = windowOf(samples, windowMs);
  if (recent === undefined) return undefined;
  const wanted = Math.ceil((parallelism * recent.utilization) / target);
  if (recent.utilization >= target + (1 - target) / 2 && !recent.isWorkedOff) {
    const more = Math.min(Math.max(wanted, parallelism + 1), most);
    return more <= parallelism ? undefined : { parallelism: more, reason: reasonOf(recent, windowMs) };
  }
  const long = windowOf(samples, WINDOWS_TO_SHRINK * windowMs);
  if (long === undefined || long.utilization > target / 2 || long.grows) return undefined;
  const fewer = Math.max(Math.ceil((parallelism * long.utilization) / target), min);
  if (fewer >= parallelism) return undefined;
  return { parallelism: fewer, reason: reasonOf(long, WINDOWS_TO_SHRINK * windowMs) };
}

interface Window {
  readonly utilization: number;
  readonly from: number | null;
  readonly to: number | null;
  /** At this pace nothing is left soon. */
  readonly isWorkedOff: boolean;
  readonly grows: boolean;
}

/** undefined: the samples do not reach so far back. */
function windowOf(samples: readonly LoadSample[], ms: number): Window | undefined {
  const last = samples.at(-1);
  const first = samples.findLast(({ atMs }) => last !== undefined && last.atMs - atMs >= ms);
  if (last === undefined || first === undefined) return undefined;
  const within = samples.filter(({ atMs }) => atMs > first.atMs);
  const utilization = within.reduce((sum, one) => sum + one.utilization, 0) / within.length;
  const [from, to] = [first.pending, last.pending];
  const areKnown = from !== null && to !== null;
  return {
    utilization,
    from,
    to,
    isWorkedOff: areKnown && to > 0 && to <= from / 2,
    grows: areKnown && to > from,
  };
}

function reasonOf({ utilization, from, to }: Window, ms: number): string {
  const busy = `the busiest worker was busy for ${Math.round(utilization * 100)} % of ${Math.round(ms / 1000)} s`;
  return from === null || to === null
    ? busy
    : `${busy}; sources had ${from} records left to read, then ${to}`;
}
