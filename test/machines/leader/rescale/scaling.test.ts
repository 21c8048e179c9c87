/** QT1 to QT4: when a job that scales by itself gets another number of subtasks. */
import { describe, expect, it } from "vitest";
import {
  decideScaling,
  type LoadSample,
  type ScalingBounds,
  type ScalingConfig,
} from "../../../../machines/leader/scaling.ts";

const config: ScalingConfig = { min: 1, max: null, target: 0.7, windowMs: 10_000, cooldownMs: 1_000 };
const bounds: ScalingBounds = { parallelism: 2, slots: 8, maxParallelism: 128 };

/** A sample a second: how busy, and how many records were left. */
const samples = (
  seconds: number,
  utilization: number,
  pending: (second: number) => number | null = () => null,
) =>
  Array.from({ length: seconds + 1 }, (_, second): LoadSample => {
    return { atMs: second * 1000, utilization, pending: pending(second) };
  });

describe("more subtasks", () => {
  it("are wanted when the busiest worker was too busy for a whole window", () => {
    expect(decideScaling(config, samples(9, 1), bounds)).toBeUndefined();
    expect(decideScaling(config, samples(10, 1), bounds)).toEqual({
      parallelism: 3,
      reason: "the busiest worker was busy for 100 % of 10 s",
    });
    expect(decideScaling(config, samples(10, 0.84), bounds)).toBeUndefined();
    expect(decideScaling(config, samples(10, 0.86), bounds)?.parallelism).toBe(3);
  });

  it("are as many as bring the workers to the target", () => {
    expect(decideScaling(config, samples(10, 1), { ...bounds, parallelism: 5 })?.parallelism).toBe(8);
    expect(decideScaling({ ...config, target: 0.5 }, samples(10, 0.9), bounds)?.parallelism).toBe(4);
  });

  it("are not wanted for a burst", () => {
    const burst = samples(20, 0.2).map((one, i) => (i > 12 && i < 17 ? { ...one, utilization: 1 } : one));
    expect(decideScaling(config, burst, bounds)).toBeUndefined();
  });

  it("are not wanted while what is left is being worked off soon, and are otherwise", () => {
    const falls = (second: number) => 10_000 - 600 * second;
    expect(decideScaling(config, samples(10, 1, falls), bounds)).toBeUndefined();
    const slowly = (second: number) => 10_000 - 400 * second;
    expect(decideScaling(config, samples(10, 1, slowly), bounds)).toEqual({
      parallelism: 3,
      reason:
        "the busiest worker was busy for 100 % of 10 s; sources had 10000 records left to read, then 6000",
    });
    expect(
      decideScaling(
        config,
        samples(10, 1, () => 0),
        bounds,
      )?.parallelism,
    ).toBe(3);
  });

  it("never go beyond slots, the user's bound and the key groups", () => {
    const busy = samples(10, 1);
    expect(decideScaling(config, busy, { ...bounds, slots: 2 })).toBeUndefined();
    expect(decideScaling({ ...config, max: 2 }, busy, bounds)).toBeUndefined();
    expect(decideScaling(config, busy, { ...bounds, maxParallelism: 2 })).toBeUndefined();
    expect(decideScaling({ ...config, max: 6 }, busy, { ...bounds, parallelism: 5 })?.parallelism).toBe(6);
  });
});

describe("fewer subtasks", () => {
  const four = { ...bounds, parallelism: 4 };

  it("are wanted when the workers were hardly busy for four windows", () => {
    expect(decideScaling(config, samples(39, 0.2), four)).toBeUndefined();
    expect(decideScaling(config, samples(40, 0.2), four)).toEqual({
      parallelism: 2,
      reason: "the busiest worker was busy for 20 % of 40 s",
    });
    expect(decideScaling(config, samples(40, 0.36), four)).toBeUndefined();
  });

  it("are not wanted while more and more is left", () => {
    expect(
      decideScaling(
        config,
        samples(40, 0.2, (second) => second),
        four,
      ),
    ).toBeUndefined();
    expect(
      decideScaling(
        config,
        samples(40, 0.2, () => 5),
        four,
      )?.parallelism,
    ).toBe(2);
  });

  it("are never fewer than the user's bound", () => {
    expect(decideScaling({ ...config, min: 3 }, samples(40, 0), four)?.parallelism).toBe(3);
    expect(decideScaling({ ...config, min: 4 }, samples(40, 0), four)).toBeUndefined();
  });
});
