/** What a user says about how long values of a state live, and the same as the engine has it. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration } from "../../config/quantity.ts";
import { ConfigurationError } from "../../errors.ts";
import { describeOption } from "../described.ts";

/** "event": the watermark of the subtask says how late it is. "processing": the clock of the worker does. */
export type TtlTime = "event" | "processing";

export interface TtlOptions {
  /**
   * How long a value lives, from 1 ms on. It has expired when the time at which it was stored, and this, have come: at
   * exactly that time already.
   */
  readonly after: Duration;
  /**
   * Default "processing". By event time a value is stored at the timestamp of its record, or at the watermark where
   * that is later; what expires then follows from the records, and is the same after a failure.
   */
  readonly time?: TtlTime | undefined;
  /**
   * What gives a value its whole time again: to write it, or also to read it. Reading is `get`, `has`, and iteration;
   * `size` tells nothing of a value. Default "write".
   */
  readonly updateOn?: "write" | "readAndWrite" | undefined;
  /**
   * Whether a value grows older while the job does not run, of processing time only. "count": it does. "pause": its
   * clock stops between the checkpoint and the restore. Default "count".
   */
  readonly downtime?: "count" | "pause" | undefined;
}

export interface TimeToLive {
  readonly afterMs: number;
  readonly time: TtlTime;
  readonly updateOn: "write" | "readAndWrite";
  readonly downtime: "count" | "pause";
}

/** What a descriptor has of it. */
export interface WithTtl {
  readonly ttl?: TimeToLive;
}

/**
 * @param maker the function that the options were given to: "valueState"
 * @throws ConfigurationError
 */
export function ttlOf(maker: string, ttl: unknown): WithTtl {
  if (ttl === undefined) return {};
  const what = `${maker}: ttl`;
  checkMembers(ttl, ["after", "time", "updateOn", "downtime"], what, "option", maker);
  const { after, time, updateOn, downtime } = ttl as { readonly [option in keyof TtlOptions]?: unknown };
  const oneOf = <V extends string>(option: string, given: unknown, values: readonly [V, V]): V => {
    if (given === undefined) return values[0];
    const value = values.find((one) => one === given);
    if (value !== undefined) return value;
    const texts = values.map((one) => `"${one}"`).join(" or ");
    throw new ConfigurationError(maker, `${what}: ${option} must be ${texts}, is ${describeOption(given)}`);
  };
  const reading = readDuration(after);
  if ("problem" in reading) throw new ConfigurationError(maker, `${what}: after ${reading.problem}`);
  if (!(reading.value >= 1 && Number.isSafeInteger(reading.value))) {
    throw new ConfigurationError(maker, `${what}: after must be at least 1 ms, is ${describeOption(after)}`);
  }
  const checked: TimeToLive = {
    afterMs: reading.value,
    time: oneOf("time", time, ["processing", "event"]),
    updateOn: oneOf("updateOn", updateOn, ["write", "readAndWrite"]),
    downtime: oneOf("downtime", downtime, ["count", "pause"]),
  };
  if (checked.time === "event" && downtime !== undefined) {
    throw new ConfigurationError(
      maker,
      `${what}: downtime is of processing time only: event time does not go on while the job does not run`,
    );
  }
  return { ttl: Object.freeze(checked) };
}

/** undefined: it is one, as `ttlOf` makes them. Else the end of a sentence. */
export function problemOfTtl(ttl: unknown): string | undefined {
  const { afterMs, time } = (ttl ?? {}) as Partial<TimeToLive>;
  if (ttl === undefined || (Number.isSafeInteger(afterMs) && (time === "event" || time === "processing")))
    return undefined;
  return 'its ttl was not given to the function that makes such states, such as valueState(0, { ttl: { after: "1 h" } })';
}

/** For plans and messages: "1 h by event time". A stored plan has it, so that a change can be told. */
export function describeTtl({ afterMs, time, updateOn, downtime }: TimeToLive): string {
  return [
    `${formatDuration(afterMs)} by ${time} time`,
    ...(updateOn === "readAndWrite" ? ["renewed by reads"] : []),
    ...(downtime === "pause" ? ["paused with the job"] : []),
  ].join(", ");
}

const CLOCKS = ["event", "processing", "pausing"] as const;

/** The clock by which the times of a state are told. */
export type TtlClockName = (typeof CLOCKS)[number];

export const clockOf = ({ time, downtime }: TimeToLive): TtlClockName =>
  downtime === "pause" ? "pausing" : time;

/**
 * The table of a state's times. Times by another clock are of no use, so each clock has a name of its own. No state of
 * a user's has a blank in its name.
 */
export const timesTableOf = (state: string, ttl: TimeToLive): string => `${state} ${clockOf(ttl)} times`;

/** The state whose times are in that table; undefined: it is another table. */
export function stateOfTimes(table: string): string | undefined {
  const clock = CLOCKS.find((name) => table.endsWith(` ${name} times`));
  return clock === undefined ? undefined : table.slice(0, -` ${clock} times`.length);
}
