/** What a job says of windows beside where they lie: lateness, triggers, states. */
import type { MigrateWindows } from "../../../machines/protocol.ts";
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration, show } from "../../config/quantity.ts";
import type { WindowTrigger } from "../../dataflow/operators/windows/triggered/trigger.ts";
import { ConfigurationError } from "../../errors.ts";
import type { StateDescriptors } from "../../state/descriptor.ts";
import { checkReplayClock, checkStates } from "../definition.ts";
import type { NoStates } from "../functions/process.ts";
import { checkName } from "../name.ts";
import type { ResolvedWindows } from "./assigners.ts";
import { AT_END, checkTrigger, factsOf } from "./triggers.ts";

export interface WindowOptions<
  Tag extends string = never,
  WS extends StateDescriptors = NoStates,
  KS extends StateDescriptors = NoStates,
  Retract extends boolean = false,
  // biome-ignore lint/suspicious/noExplicitAny: options for any records
  T = any,
> {
  /**
   * A window stays so long behind its end, in event time, and fires again with each record that comes meanwhile; also
   * Infinity. Default 0: a record that comes behind the end of its window is late.
   */
  readonly allowedLateness?: Duration | undefined;
  /** Tag of the side output for records that no window took, as `LateRecord`. Default: they are only counted. */
  readonly lateOutput?: Tag | undefined;
  /** When windows fire. Default: once, at their end, and again for each late record. */
  // biome-ignore lint/suspicious/noExplicitAny: a trigger may have any state
  readonly trigger?: WindowTrigger<T, any> | undefined;
  /**
   * true: what comes out are changes, `{ change: "add" | "retract", value }`. When a window fires again, its old
   * results are taken back in front of the new ones. Default false: they are only marked by `firing` and `index`.
   */
  readonly retract?: Retract | undefined;
  /**
   * States for each key and window, `context.windowState` of the window function: `{ alerts: valueState(0) }`. They go
   * with the window. Not for sessions, which become one.
   */
  readonly windowState?: WS | undefined;
  /** States for each key, `context.keyState` of the window function. They stay until the function clears them. */
  readonly keyState?: KS | undefined;
  /**
   * What becomes of windows that are open when the job is restored and has other windows here: "finish-old" fires each
   * at its own end, with what it holds, and new records come to the new windows; "drop-old" begins without them.
   * Default: the restore is refused.
   */
  readonly migrateWindows?: MigrateWindows | undefined;
  /**
   * What becomes at the end of input of windows by processing time, by count and without end that have not fired: they
   * fire, or are dropped (as in Flink). Default "fire".
   */
  readonly endOfInput?: "fire" | "drop" | undefined;
  /**
   * What processing time is after a restore, for windows by processing time and triggers that use it. "resume": it goes
   * on from the checkpoint, and catches up with event time while records are read again, so they come to the windows in
   * which they were before. It needs watermarks in front of the windows. Default: the clock of the worker.
   */
  readonly replayClock?: "resume" | undefined;
}

/** The options as they are run. */
export interface ResolvedOptions {
  readonly allowedLateness: number;
  readonly lateTag: string | undefined;
  readonly endOfInput: "fire" | "drop";
  readonly replayClock: "resume" | undefined;
  readonly migrateWindows: MigrateWindows | undefined;
  /** undefined: the windows fire at their end, and nothing more is asked of them. */
  readonly triggered:
    | {
        readonly trigger: WindowTrigger;
        readonly retracts: boolean;
        readonly windowState: StateDescriptors;
        readonly keyState: StateDescriptors;
      }
    | undefined;
  /** What a job that goes on must have as it was; empty: nothing. */
  readonly words: string;
}

const MEMBERS = [
  "allowedLateness",
  "lateOutput",
  "trigger",
  "retract",
  "windowState",
  "keyState",
  "endOfInput",
  "replayClock",
  "migrateWindows",
];

/** @throws ConfigurationError that names the operator and the option */
export function resolveOptions(id: string, options: unknown, windows: ResolvedWindows): ResolvedOptions {
  const what = `operator "${id}": window`;
  checkMembers(options, MEMBERS, what, "option", id);
  const given = options as Readonly<Record<keyof WindowOptions, unknown>>;
  const { lateOutput, endOfInput = "fire" } = given;
  if (lateOutput !== undefined) checkName(lateOutput, `${what}: lateOutput`);
  const allowedLateness = latenessOf(id, given.allowedLateness ?? 0);
  const isByEvents = windows.kind !== "counted" && windows.time === "event";
  if (!isByEvents && (allowedLateness > 0 || lateOutput !== undefined))
    refuse(id, "allowedLateness and lateOutput are for windows of event time; no record is late here");
  if (endOfInput !== "fire" && endOfInput !== "drop")
    refuse(id, `endOfInput must be "fire" or "drop", got ${show(endOfInput)}`);
  if (isByEvents && given.endOfInput !== undefined)
    refuse(
      id,
      "endOfInput is for windows by processing time or count; those of event time fire at the end of input",
    );
  const { replayClock } = given;
  checkReplayClock(id, replayClock);
  const triggered = triggeredOf(id, given, windows);
  if (replayClock !== undefined && triggered === undefined && (isByEvents || windows.kind === "counted"))
    refuse(
      id,
      "replayClock is for windows by processing time, or with a trigger: nothing else here uses that clock",
    );
  const { migrateWindows } = given;
  checkMigration(id, migrateWindows, windows, triggered !== undefined);
  const stays = allowedLateness === 0 ? "" : `, allowed lateness ${formatLateness(allowedLateness)}`;
  return {
    allowedLateness,
    lateTag: lateOutput as string | undefined,
    endOfInput,
    replayClock,
    migrateWindows: migrateWindows as MigrateWindows | undefined,
    triggered,
    words: `${stays}${triggered === undefined ? "" : wordsOf(triggered)}`,
  };
}

function checkMigration(
  id: string,
  migrateWindows: unknown,
  { kind }: ResolvedWindows,
  isTriggered: boolean,
): void {
  if (migrateWindows === undefined || migrateWindows === "drop-old") return;
  if (migrateWindows !== "finish-old")
    refuse(id, `migrateWindows must be "finish-old" or "drop-old", got ${show(migrateWindows)}`);
  if (kind === "counted")
    refuse(id, 'migrateWindows: windows by count and without end cannot finish others: take "drop-old"');
  if (isTriggered)
    refuse(
      id,
      'migrateWindows: windows with a trigger, retract or states cannot finish others: take "drop-old"',
    );
}

function triggeredOf(
  id: string,
  given: Readonly<Record<keyof WindowOptions, unknown>>,
  windows: ResolvedWindows,
): ResolvedOptions["triggered"] {
  const { trigger = AT_END, retract = false, windowState = {}, keyState = {} } = given;
  checkTrigger(`operator "${id}"`, trigger, id);
  if (typeof retract !== "boolean") refuse(id, `retract must be true or false, got ${show(retract)}`);
  checkStates(id, windowState, "windowState");
  checkStates(id, keyState, "keyState");
  checkStay(id, { ...(windowState as StateDescriptors), ...(keyState as StateDescriptors) });
  const asked = {
    trigger,
    retracts: retract,
    windowState: windowState as StateDescriptors,
    keyState: keyState as StateDescriptors,
  };
  const hasStates = Object.keys(asked.windowState).length + Object.keys(asked.keyState).length > 0;
  if (trigger === AT_END && !retract && !hasStates) return undefined;
  checkTogether(id, asked, windows);
  return asked;
}

/** The states of a window go with it, and those of a key when the function clears them. */
function checkStay(id: string, states: StateDescriptors): void {
  const expiring = Object.entries(states).find(([, one]) => one.kind !== "table" && one.ttl !== undefined);
  if (expiring === undefined) return;
  refuse(
    id,
    `state "${expiring[0]}" of windows cannot have a time to live: leave ttl out, and clear it in the function`,
  );
}

/** What goes with which windows. */
function checkTogether(
  id: string,
  { trigger, retracts, windowState }: NonNullable<ResolvedOptions["triggered"]>,
  windows: ResolvedWindows,
): void {
  const { purges, needsEventTime, needsEnd } = factsOf(trigger);
  const isSession = windows.kind === "sessions";
  if (windows.kind === "counted" && windows.size !== Number.POSITIVE_INFINITY) {
    const instead = `globalWindows() with purgingTrigger(countTrigger(${windows.size}))`;
    refuse(
      id,
      `windows by count fire by their count, and have no trigger, retract or states: use ${instead}`,
    );
  }
  if (windows.kind === "counted" && needsEnd)
    refuse(
      id,
      `trigger "${trigger.name}" waits for the end of a window, and globalWindows have none: use another one`,
    );
  if (windows.kind !== "counted" && windows.time === "processing" && needsEventTime)
    refuse(id, `trigger "${trigger.name}" is for windows of event time, and these are of processing time`);
  if (isSession && trigger.onMerge === undefined)
    refuse(id, `trigger "${trigger.name}" has no onMerge, and sessions become one: define it`);
  if (retracts && purges)
    refuse(
      id,
      `retract is of no use with trigger "${trigger.name}": what has fired is gone, and never fires again`,
    );
  const [name] = Object.keys(windowState);
  if (isSession && name !== undefined)
    refuse(
      id,
      `windowState is not for sessions, which become one; keep state "${name}" in keyState, or in the results`,
    );
  for (const [state, { kind }] of Object.entries(windowState)) {
    if (kind === "list" || kind === "map")
      refuse(id, `windowState "${state}" must be one value: valueState, reducingState or aggregatingState`);
  }
}

function wordsOf({ trigger, retracts }: NonNullable<ResolvedOptions["triggered"]>): string {
  return `${trigger === AT_END ? "" : `, fires ${trigger.name}`}${retracts ? ", takes results back" : ""}`;
}

const formatLateness = (ms: number): string =>
  ms === Number.POSITIVE_INFINITY ? "for ever" : formatDuration(ms);

function latenessOf(id: string, given: unknown): number {
  if (given === Number.POSITIVE_INFINITY) return given;
  const reading = readDuration(given);
  if ("value" in reading) return reading.value;
  return refuse(id, `allowedLateness ${reading.problem}; Infinity keeps windows for ever`);
}

function refuse(id: string, problem: string): never {
  throw new ConfigurationError(id, `operator "${id}": ${problem}`);
}
