/** The watermark strategies that a job can choose from. */
import { type Duration, formatDuration, parseDuration, show } from "../../config/quantity.ts";
import { NO_TIMESTAMP } from "../../dataflow/source.ts";
import { BoundedGenerator, type WatermarkStrategy } from "../../dataflow/time/watermarks.ts";
import { ConfigurationError } from "../../errors.ts";

/**
 * The watermark is the largest timestamp less `by`, less 1 ms: records may come that much later than newer ones.
 * `by`: a duration such as "5 s", at least 0. (Flink's BoundedOutOfOrdernessWatermarks.)
 *
 * @throws ConfigurationError
 */
export function boundedOutOfOrderness(by: Duration): WatermarkStrategy {
  const byMs = parseDuration(by, "boundedOutOfOrderness");
  return {
    description: byMs === 0 ? "ascending" : `at most ${formatDuration(byMs)} out of order`,
    create: (restored) => new BoundedGenerator(byMs, typeof restored === "number" ? restored : NO_TIMESTAMP),
  };
}

/** The timestamps of each split never fall: the watermark is the largest one less 1 ms. */
export function ascendingTimestamps(): WatermarkStrategy {
  return boundedOutOfOrderness(0);
}

/**
 * The watermarks that the records carry themselves: `watermarkOf` answers that of a record, or undefined.
 *
 * @throws ConfigurationError
 */
export function punctuatedWatermarks<T>(
  watermarkOf: (value: T, timestamp: number) => number | undefined,
): WatermarkStrategy<T> {
  if (typeof watermarkOf !== "function")
    throw new ConfigurationError(
      "watermarks",
      `punctuatedWatermarks: a function is needed that answers the watermark of a record or undefined, got ${show(watermarkOf)}`,
    );
  return {
    description: "punctuated",
    perRecord: true,
    create: () => ({
      onRecord: watermarkOf,
      onInterval: () => undefined,
      snapshot: () => null,
    }),
  };
}
