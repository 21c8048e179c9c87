/** What a job says of the event time of a source: the options, and what is checked of them before anything runs. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, parseDuration, show } from "../../config/quantity.ts";
import {
  DEFAULT_INTERVAL_MS,
  type SourceAlignment,
  type SourceEventTime,
} from "../../dataflow/time/source-time.ts";
import type { WatermarkStrategy } from "../../dataflow/time/watermarks.ts";
import { ConfigurationError } from "../../errors.ts";
import type { OperatorOptions } from "../definition.ts";

/** What a user may say of a source, besides its name. */
export interface SourceOptions<T = unknown> extends OperatorOptions {
  /**
   * The event time of a record, a whole number of ms since 1970; NO_TIMESTAMP: it has none. `given` is the timestamp
   * that the source itself gives: of a JetStream message the time at which the server stored it. Default: `given`.
   */
  readonly timestamp?: ((value: T, given: number) => number) | undefined;
  /**
   * How far event time has come behind each record, for each split of the source. Default: event time does not go on,
   * and windows and event-time timers behind this source are refused.
   */
  readonly watermarks?: WatermarkStrategy<T> | undefined;
  /** How often the watermarks go out. Default 200 ms; 0: behind each record. (Flink's auto-watermark-interval.) */
  readonly watermarkInterval?: Duration | undefined;
  /**
   * A split from which nothing was to be read for so long does not hold event time back any more, until it has a record
   * again. Only time counts in which the job could read, and a split whose broker has something for it is not idle.
   * Default: none is ever idle.
   */
  readonly idleAfter?: Duration | undefined;
  /**
   * A record whose timestamp is further ahead of the wall clock than that would move the watermark, and all that comes
   * after it would be late. So it does not, and it is counted. `clamp`: it goes on with the largest timestamp that is
   * allowed; `sideOutput`: it goes to `sideOutput("ahead")` of the source's stream. Default: it is like others.
   */
  readonly maxTimestampAhead?: { readonly by: Duration; readonly beyond: "clamp" | "sideOutput" } | undefined;
  /**
   * A split whose watermark is further than `maxDrift` ahead of the least one is not read for now, so that little is
   * kept of what comes before its time. The least one is that of all splits of all sources with the same `group` that
   * hold event time back: give `idleAfter` too, else one that has nothing stops all others.
   *
   * Default: where windows of event time or joins lie behind the source, its splits keep pace while they are behind, by
   * the longest window or interval there. "off": each reads as fast as it can.
   */
  readonly alignment?: AlignmentOptions | "off" | undefined;
}

/** How a source keeps pace with others. (Flink's withWatermarkAlignment.) */
export interface AlignmentOptions {
  /** Sources of the job with the same group wait for each other. Default: the source alone, by its id. */
  readonly group?: string | undefined;
  /** How much further than the least watermark of the group one may be, such as "1 min". */
  readonly maxDrift: Duration;
  /**
   * How often each subtask tells how far it is. One that has not heard of the others for three intervals reads on.
   * Default 1 s.
   */
  readonly interval?: Duration | undefined;
  /**
   * Only splits that have so many records left to read wait, and are waited for, until a quarter of that is left. A
   * subtask then waits only for those that have as much left as it has, so waiting makes no job slower, and for none
   * that stands still. Default: all wait at any time.
   */
  readonly whileBehind?: number | undefined;
}

const MEMBERS = [
  "timestamp",
  "watermarks",
  "watermarkInterval",
  "idleAfter",
  "maxTimestampAhead",
  "alignment",
] as const;
const DEFAULT_ALIGNMENT_INTERVAL = "1 s";

/** What a user says of event time that begins anew in the middle of a job. */
export interface AssignedTimestamps<T = unknown> {
  /**
   * The event time of a record, a whole number of ms since 1970; NO_TIMESTAMP: it has none. `given` is the one that it
   * has come with. Default: `given`.
   */
  readonly timestamp?: ((value: T, given: number) => number) | undefined;
  /** How far event time has come behind each record, for each subtask of the operator. */
  readonly watermarks: WatermarkStrategy<T>;
  /** How often the watermarks go out. Default 200 ms; 0: behind each record. (Flink's auto-watermark-interval.) */
  readonly watermarkInterval?: Duration | undefined;
  /**
   * A subtask that got no record for so long does not hold event time back any more, until it has one again. Only time
   * counts in which it could take some. Default: none is ever idle.
   */
  readonly idleAfter?: Duration | undefined;
}

const ASSIGNED_MEMBERS = ["timestamp", "watermarks", "watermarkInterval", "idleAfter"] as const;

/** @throws ConfigurationError */
export function assignedTimeOf(id: string, given: AssignedTimestamps<never>): SourceEventTime {
  checkMembers(given, ASSIGNED_MEMBERS, `operator "${id}"`, "member", id);
  const { eventTime } = eventTimeOf(id, given);
  if (eventTime?.watermarks !== undefined) return eventTime;
  throw new ConfigurationError(
    id,
    `operator "${id}": watermarks are needed, such as boundedOutOfOrderness("5 s"): those from upstream end here, and ` +
      "event time would not go on",
  );
}

/** @throws ConfigurationError */
export function eventTimeOf(
  id: string,
  options: SourceOptions<never>,
): { readonly eventTime: SourceEventTime | undefined; readonly rest: OperatorOptions } {
  checkMembers(options, ["parallelism", ...MEMBERS], `operator "${id}"`, "option", id);
  const { timestamp, watermarks, watermarkInterval, idleAfter, maxTimestampAhead, alignment, ...rest } =
    options;
  const wrong = (what: string): never => {
    throw new ConfigurationError(id, `operator "${id}": ${what}`);
  };
  if (timestamp !== undefined && typeof timestamp !== "function")
    wrong(`timestamp must be a function, got ${show(timestamp)}`);
  if (
    watermarks !== undefined &&
    typeof (watermarks as { readonly create?: unknown } | null)?.create !== "function"
  )
    wrong(`watermarks must be a strategy such as boundedOutOfOrderness("5 s"), got ${show(watermarks)}`);
  if (watermarks === undefined)
    for (const [name, given] of Object.entries({
      watermarkInterval,
      idleAfter,
      maxTimestampAhead,
      alignment,
    }))
      if (given !== undefined)
        wrong(
          `${name} is given and watermarks are not: add watermarks, such as boundedOutOfOrderness("5 s")`,
        );
  const intervalMs =
    watermarkInterval === undefined
      ? DEFAULT_INTERVAL_MS
      : parseDuration(watermarkInterval, `operator "${id}": watermarkInterval`);
  const idleAfterMs =
    idleAfter === undefined ? undefined : parseDuration(idleAfter, `operator "${id}": idleAfter`);
  if (idleAfterMs === 0) wrong("idleAfter must be longer than 0 ms");
  if (timestamp === undefined && watermarks === undefined) return { eventTime: undefined, rest };
  const eventTime = {
    ...(timestamp && { timestamp }),
    ...(watermarks && { watermarks }),
    ...(idleAfterMs !== undefined && { idleAfterMs }),
    ...(maxTimestampAhead !== undefined && { maxAhead: maxAheadOf(id, maxTimestampAhead) }),
    ...(alignment === "off" && { isUnaligned: true }),
    ...(alignment !== undefined && alignment !== "off" && { alignment: alignmentOf(id, alignment) }),
    intervalMs,
  } as SourceEventTime;
  return { eventTime, rest };
}

function maxAheadOf(id: string, given: NonNullable<SourceOptions["maxTimestampAhead"]>) {
  const what = `operator "${id}": maxTimestampAhead`;
  checkMembers(given, ["by", "beyond"], what, "member", id);
  const { by, beyond } = given;
  if (beyond !== "clamp" && beyond !== "sideOutput")
    throw new ConfigurationError(id, `${what}: beyond must be "clamp" or "sideOutput", got ${show(beyond)}`);
  return { byMs: parseDuration(by, what), beyond };
}

function alignmentOf(id: string, given: AlignmentOptions): SourceAlignment {
  const what = `operator "${id}": alignment`;
  if (typeof given !== "object" || given === null)
    throw new ConfigurationError(
      id,
      `${what} must be "off" or an object such as { maxDrift: "1 min" }, got ${show(given)}`,
    );
  checkMembers(given, ["group", "maxDrift", "interval", "whileBehind"], what, "member", id);
  const { group = id, maxDrift, interval = DEFAULT_ALIGNMENT_INTERVAL, whileBehind } = given;
  if (typeof group !== "string" || group === "")
    throw new ConfigurationError(id, `${what}: group must be a text, got ${show(group)}`);
  const intervalMs = parseDuration(interval, `${what}: interval`);
  if (intervalMs < 1) throw new ConfigurationError(id, `${what}: interval must be at least 1 ms`);
  if (whileBehind !== undefined && !(Number.isSafeInteger(whileBehind) && whileBehind >= 1))
    throw new ConfigurationError(
      id,
      `${what}: whileBehind must be a whole number of records, at least 1, got ${show(whileBehind)}`,
    );
  return {
    group,
    maxDriftMs: parseDuration(maxDrift, `${what}: maxDrift`),
    intervalMs,
    ...(whileBehind !== undefined && { whileBehind }),
  };
}
