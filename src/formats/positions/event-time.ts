/** Event time in a checkpoint: entries of operator states that are the engine's own, as msgpack. */
import { z } from "zod";
import { ObjectCorruptError } from "../../errors.ts";
import { encodeValue } from "../codec.ts";
import { count, text, unpacked } from "../shape.ts";

/** The names of the states: no user can name a state like that. */
export const INPUT_TIME = "event time of the input";
export const OPERATOR_TIME = "event time";
export const ASSIGNED_TIME = "event time that was assigned";

/** It belongs to the engine: an operator that has nothing else is without state. */
export function isEventTime({ state }: { readonly state: string }): boolean {
  return state === INPUT_TIME || state === OPERATOR_TIME || state === ASSIGNED_TIME;
}

/** Milliseconds, or one of the infinities. */
const time = z.custom<number>((value) => typeof value === "number" && !Number.isNaN(value), "no time");

/** The event time of one input channel, or of all of them together where `channel` is null. */
export interface StoredInputTime {
  readonly channel: { readonly edge: string; readonly from: number; readonly to: number } | null;
  readonly watermark: number;
  readonly isIdle: boolean;
}

const inputTime: z.ZodType<StoredInputTime> = z.object({
  channel: z.object({ edge: text, from: count, to: count }).nullable(),
  watermark: time,
  isIdle: z.boolean(),
});

/** How far a keyed operator had come, for the keys of these key groups. */
export interface StoredOperatorTime {
  readonly keyGroups: { readonly first: number; readonly last: number };
  readonly watermark: number;
  /** What was due at the watermark had not all been done. */
  readonly isWorkingOff: boolean;
  /** How late it was by the clock of values whose time to live pauses with the job, if it had some. */
  readonly pausingClockMs?: number;
  /** How late it was by the operator's own clock, if that resumes where the job is restored. */
  readonly replayClockMs?: number;
}

const operatorTime: z.ZodType<StoredOperatorTime> = z.object({
  keyGroups: z.object({ first: count, last: count }),
  watermark: time,
  isWorkingOff: z.boolean(),
  pausingClockMs: z.exactOptional(time),
  replayClockMs: z.exactOptional(time),
});

/** The event time of one split, beside its position; or of a subtask that assigns timestamps itself. */
export interface StoredSplitTime {
  readonly watermark: number;
  readonly isIdle: boolean;
  /** What its watermark generator remembers; only that looks into it. */
  readonly generator: unknown;
}

export const splitTime: z.ZodType<StoredSplitTime> = z.object({
  watermark: time,
  isIdle: z.boolean(),
  generator: z.unknown(),
});

export const encodeInputTime = (stored: StoredInputTime): Uint8Array => encodeValue(stored);
export const encodeSplitTime = (stored: StoredSplitTime): Uint8Array => encodeValue(stored);
export const encodeOperatorTime = (stored: StoredOperatorTime): Uint8Array => encodeValue(stored);

/** @throws ObjectCorruptError */
export const parseInputTime = (entry: Uint8Array, operator: string): StoredInputTime =>
  parse(inputTime, entry, `event time of the input of operator ${operator}`);

/** @throws ObjectCorruptError */
export const parseOperatorTime = (entry: Uint8Array, operator: string): StoredOperatorTime =>
  parse(operatorTime, entry, `event time of operator ${operator}`);

/** @throws ObjectCorruptError */
export const parseAssignedTime = (entry: Uint8Array, operator: string): StoredSplitTime =>
  parse(splitTime, entry, `event time that operator ${operator} has assigned`);

function parse<T>(schema: z.ZodType<T>, entry: Uint8Array, place: string): T {
  const found = unpacked(schema, entry);
  if ("value" in found) return found.value;
  throw new ObjectCorruptError(place, `the ${place} cannot be read: ${found.problem}`);
}
