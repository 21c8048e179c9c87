/** The triggers that a job can ask for: when windows fire, other than once at their end. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration, show } from "../../config/quantity.ts";
import type { TimerKind } from "../../dataflow/operators/keyed/operator-timers.ts";
import type {
  TriggerContext,
  TriggerResult,
  WindowTrigger,
} from "../../dataflow/operators/windows/triggered/trigger.ts";
import { ConfigurationError } from "../../errors.ts";

/** What goes with a trigger of the engine's. A user's own one has none of it. */
interface TriggerFacts {
  /** What it fires is gone then. */
  readonly purges?: true;
  /** It asks for event time, whatever the windows do. */
  readonly needsEventTime?: true;
  /** It never fires in a window without an end. */
  readonly needsEnd?: true;
}

const facts = new WeakMap<object, TriggerFacts>();

export const factsOf = (trigger: object): TriggerFacts => facts.get(trigger) ?? {};

function withFacts<Trigger extends object>(trigger: Trigger, known: TriggerFacts): Trigger {
  facts.set(trigger, known);
  return trigger;
}

/** The one of windows that ask for no other. */
export const AT_END: WindowTrigger<unknown, never> = {
  name: "at the end",
  onRecord: (_, context) => fireBehindEnd(context),
  onTimer: () => "fire",
  onMerge: registerEnd,
};

/**
 * Windows fire when their time has come to their last millisecond, and again for each late record. It is what windows
 * do without a trigger, and there to be put into others.
 */
export function eventTimeTrigger(): WindowTrigger<unknown, never> {
  return AT_END;
}

/**
 * Windows of event time fire when the clock of the worker has passed their end. What has come since then fires when
 * event time gets there.
 */
export function processingTimeTrigger(): WindowTrigger<unknown, never> {
  const trigger: WindowTrigger<unknown, never> = {
    name: "when the clock has passed the end",
    onRecord(_, context) {
      context.registerTimer(context.window.end - 1, "processing");
      return fireBehindEnd(context);
    },
    onTimer: (_, context) => fireIfChanged(context),
    onMerge(context) {
      context.registerTimer(context.window.end - 1, "processing");
      registerEnd(context);
    },
  };
  return withFacts(trigger, { needsEnd: true });
}

export interface CountTriggerOptions {
  /**
   * What becomes at the end of a window of records that are fewer than `count`: they fire, or nothing does (as in
   * Flink). Default "fire".
   */
  readonly rest?: "fire" | "drop" | undefined;
}

/** Windows fire with each so many records: `countTrigger(100)`. */
export function countTrigger(
  count: number,
  options: CountTriggerOptions = {},
): WindowTrigger<unknown, number> {
  if (!Number.isSafeInteger(count) || count < 1)
    refuse("countTrigger", `count must be a whole number of at least 1, got ${show(count)}`);
  checkMembers(options, ["rest"], "countTrigger", "option");
  const { rest = "fire" } = options;
  if (rest !== "fire" && rest !== "drop")
    refuse("countTrigger", `rest must be "fire" or "drop", got ${show(rest)}`);
  const firesRest = rest === "fire";
  return {
    name: firesRest ? `each ${count} records` : `each ${count} records, without the rest`,
    onRecord(_, context) {
      const counted = (context.state.get() ?? 0) + 1;
      const answer = firesRest ? fireBehindEnd(context) : "continue";
      if (answer === "continue" && counted < count) {
        context.state.set(counted);
        return "continue";
      }
      context.state.clear();
      return "fire";
    },
    onTimer: (_, context) => fireIfChanged(context),
    onMerge(context, counts) {
      const counted = counts.reduce((sum, one) => sum + one, 0);
      if (counted > 0) context.state.set(counted);
      if (firesRest) registerEnd(context);
    },
  };
}

/**
 * Windows fire each so often in event time while they grow, and at their end: early firings. A watermark that comes
 * over several of these times makes them fire once, and windows that have not changed do not fire.
 */
export function continuousEventTimeTrigger(every: Duration): WindowTrigger<unknown, number> {
  return continuous("continuousEventTimeTrigger", "event", every);
}

/** The same by the clock of the worker; at their end, windows fire by their own time. */
export function continuousProcessingTimeTrigger(every: Duration): WindowTrigger<unknown, number> {
  return continuous("continuousProcessingTimeTrigger", "processing", every);
}

/** What another trigger fires is gone then: each result is of what has come since the one before it. */
export function purgingTrigger<T, S>(trigger: WindowTrigger<T, S>): WindowTrigger<T, S> {
  checkTrigger("purgingTrigger", trigger);
  const { onTimer, onMerge } = trigger;
  const both: WindowTrigger<T, S> = {
    name: `${trigger.name}, purging`,
    onRecord: (value, context) => purging(trigger.onRecord(value, context)),
    ...(onTimer && { onTimer: (timer, context) => purging(onTimer.call(trigger, timer, context)) }),
    ...(onMerge && { onMerge: (context, states) => onMerge.call(trigger, context, states) }),
  };
  return withFacts(both, { ...factsOf(trigger), purges: true });
}

const purging = (result: TriggerResult): TriggerResult => (result === "fire" ? "fireAndPurge" : result);

/** The timer of a continuous trigger is there while the window has changed; its state is the timer's time. */
function continuous(of: string, kind: TimerKind, given: Duration): WindowTrigger<unknown, number> {
  const reading = readDuration(given);
  if ("problem" in reading) refuse(of, `every ${reading.problem}`);
  const { value: every } = reading;
  if (every === 0) refuse(of, `every must be at least 1 ms, got ${show(given)}`);
  const registerNext = (context: TriggerContext<number>, next: number): void => {
    context.state.set(next);
    context.registerTimer(next, kind);
  };
  const nowOf = ({ currentWatermark, currentProcessingTime }: TriggerContext<number>): number =>
    kind === "event" ? currentWatermark : currentProcessingTime;
  const trigger: WindowTrigger<unknown, number> = {
    name: `each ${formatDuration(every)} of ${kind === "event" ? "event time" : "processing time"}`,
    onRecord(_, context) {
      const answer = fireBehindEnd(context);
      if (answer === "fire" || context.state.get() !== undefined) return answer;
      const now = nowOf(context);
      const from = kind === "event" ? Math.max(now, context.timestamp) : now;
      if (Number.isFinite(from)) registerNext(context, Math.floor(from / every) * every + every);
      return answer;
    },
    onTimer({ time, kind: of }, context) {
      const { window, time: own } = context;
      if (of === own && time === window.end - 1) return fireIfChanged(context);
      context.state.clear();
      // The end has come by the same watermark: it fires there.
      const reached = own === "event" ? context.currentWatermark : context.currentProcessingTime - 1;
      return window.end - 1 <= reached && Number.isFinite(window.end) ? "continue" : fireIfChanged(context);
    },
    onMerge(context, times) {
      registerEnd(context);
      if (times.length > 0) registerNext(context, Math.min(...times));
    },
  };
  return withFacts(trigger, kind === "event" ? { needsEventTime: true } : {});
}

type AnyContext = Omit<TriggerContext, "state">;

const fireIfChanged = ({ hasChanged }: AnyContext): TriggerResult => (hasChanged ? "fire" : "continue");

function registerEnd(context: AnyContext): void {
  const last = context.window.end - 1;
  if (last > context.currentTime) context.registerTimer(last);
}

/** Behind the end of a window, a record fires it at once. */
function fireBehindEnd(context: AnyContext): TriggerResult {
  if (context.window.end - 1 <= context.currentTime) return "fire";
  registerEnd(context);
  return "continue";
}

const MEMBERS = ["name", "onRecord", "onTimer", "onMerge"];

/** @throws ConfigurationError for what is no trigger */
export function checkTrigger(
  what: string,
  given: unknown,
  key = what,
): asserts given is WindowTrigger<unknown, never> {
  if (typeof given !== "object" || given === null) {
    refuse(
      what,
      `a trigger is needed, got ${show(given)}: countTrigger(10), continuousEventTimeTrigger("1 min"), or an object ` +
        "with name and onRecord",
      key,
    );
  }
  checkMembers(given, MEMBERS, `${what}: trigger`, "member", key);
  const { name, onRecord, onTimer, onMerge } = given as Readonly<Record<string, unknown>>;
  if (typeof name !== "string" || name === "")
    refuse(what, `a trigger needs a name, a text that tells it from others; got ${show(name)}`, key);
  for (const [member, value] of Object.entries({ onRecord, onTimer, onMerge })) {
    const isMissing = value === undefined && member !== "onRecord";
    if (!isMissing && typeof value !== "function")
      refuse(what, `${member} of trigger "${name}" must be a function, got ${show(value)}`, key);
  }
}

function refuse(what: string, problem: string, key = what): never {
  throw new ConfigurationError(key, `${what}: ${problem}`);
}
