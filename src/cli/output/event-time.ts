/** Event time in words: how far it is, and who holds it there, as `status` and `doctor` say it. */
import { formatDuration, formatTime } from "../../config/quantity.ts";
import type { HolderReason, OperatorsTime, TimeHolder } from "../../control/event-time-messages.ts";
import { age, counted } from "./text.ts";

/** Event time that has moved so lately is not held: it goes on. */
const STANDS_AFTER_MS = 5000;

const HOLDERS_SHOWN = 3;

/** One line for the operators, and one for each of those that hold their event time. */
export function eventTimeLines(times: readonly OperatorsTime[], nowMs: number): string[] {
  return times.flatMap((time) => [
    `event time   ${time.operators.join(", ")}: ${howFar(time, nowMs)}`,
    ...holderLines(time, nowMs).map((line) => `             ${line}`),
  ]);
}

/** "2026-11-28T10:00:00.000Z, 12 s behind the clock". */
export function howFar(
  { status, watermark }: Pick<OperatorsTime, "status" | "watermark">,
  nowMs: number,
): string {
  if (status === "ended") return "at its end";
  const idle = status === "idle" ? ", idle" : "";
  if (watermark === null) return `none yet${idle}`;
  const behind = watermark <= nowMs ? `${age(watermark, nowMs)} behind` : `${age(nowMs, watermark)} ahead of`;
  return `${formatTime(watermark)}, ${behind} the clock${idle}`;
}

function holderLines({ holders, holdersMore }: OperatorsTime, nowMs: number): string[] {
  const standing = holders.filter((holder) => stands(holder, nowMs));
  if (standing.length === 0) return holders.slice(0, 1).map((holder) => `behind ${nameOf(holder)}`);
  const more = standing.length - HOLDERS_SHOWN + holdersMore;
  return [
    ...standing
      .slice(0, HOLDERS_SHOWN)
      .map(
        (holder) => `held by ${nameOf(holder)} for ${age(holder.sinceMs, nowMs)}: ${whyHeld(holder, nowMs)}`,
      ),
    ...(more > 0 ? [`and by ${more} more`] : []),
  ];
}

export function stands({ sinceMs }: Pick<TimeHolder, "sinceMs">, nowMs: number): boolean {
  return nowMs - sinceMs >= STANDS_AFTER_MS;
}

/** "split eu of source payments (payments/1)". */
export function nameOf({ split, reason, operator, subtask }: TimeHolder): string {
  if (split !== undefined) return `split ${split} of source ${operator} (${subtask})`;
  if (reason === "requests") return `requests of operator ${operator} (${subtask})`;
  return `operator ${operator} (${subtask})`;
}

/** Why it holds event time: a clause about the holder. */
export function whyHeld(holder: TimeHolder, nowMs: number): string {
  const said = reasons[holder.reason](holder, nowMs);
  return SILENT.has(holder.reason) ? `${said}${pendingOf(holder)}${idlenessOf(holder)}` : said;
}

const SILENT: ReadonlySet<HolderReason> = new Set(["noRecord", "silent"]);

const reasons: Readonly<Record<HolderReason, (holder: TimeHolder, nowMs: number) => string>> = {
  noWatermarks: () => "the source makes no watermarks",
  noRecord: ({ watermark }) =>
    watermark === null ? "no record has come yet" : "no record has come since the job was started last",
  silent: ({ lastRecordMs = 0 }, nowMs) => `no record has come for ${age(lastRecordMs, nowMs)}`,
  noProgress: ({ lastRecordMs = 0, watermark }, nowMs) =>
    `records come, the last one ${age(lastRecordMs, nowMs)} ago, and ${watermark === null ? "none has given it a watermark" : "none has moved its watermark"}`,
  paused: () => "it waits for slower splits",
  rules: () => "one of its inputs is held back until another one has brought something",
  firing: () => "what is due there, such as timers and windows, is being worked off",
  requests: ({ requests }) =>
    requests === undefined
      ? "it takes no more records until some have their answers"
      : `event time goes out behind ${counted(requests, "record")} whose requests have no answer yet`,
  noRoom: () => "it is not read, because what is behind it takes no more records",
  stopped: () => "the job takes no input at present",
};

function pendingOf({ pending }: TimeHolder): string {
  if (pending === undefined) return "";
  return pending === 0 ? ", and nothing is pending" : `, and ${counted(pending, "message")} are pending`;
}

function idlenessOf({ idleAfterMs, pending }: TimeHolder): string {
  if (idleAfterMs === undefined) return "; it is never taken for idle";
  return pending === undefined || pending === 0
    ? `; it is idle after ${formatDuration(idleAfterMs)} without one`
    : "; so it is not idle";
}
