/**
 * What is wrong with a running job, found in its report: sentences that name the thing, its place and what mends it. A
 * pure function.
 *
 * Owns: which findings there are, and their order: what stops the job first, then event time, then records that were
 * lost to it. Does not own: the report (the leader's), words for event time (output/event-time.ts).
 */
import { phaseInWords } from "../../../machines/words.ts";
import { formatDuration } from "../../config/quantity.ts";
import type { HolderReason, TimeHolder } from "../../control/event-time-messages.ts";
import type { JobReport } from "../../control/messages.ts";
import { howFar, nameOf, stands, whyHeld } from "../output/event-time.ts";
import { age, count, counted } from "../output/text.ts";

export interface Finding {
  /** What kind it is, for programs. */
  readonly finding:
    | "failed"
    | "notRunning"
    | "waitingForWorkers"
    | "trouble"
    | "restarts"
    | "checkpointsHeld"
    | "checkpointAborted"
    | "checkpointSlow"
    | "eventTimeHeld"
    | "recordsLate"
    | "inputSkipped"
    /** The storage of checkpoints does not let the one that asks do what the engine does there. */
    | "storage";
  /** A sentence about what is so. */
  readonly says: string;
  /** What the user can do; "": the sentence says it. */
  readonly help: string;
}

/** Checkpoints that take longer are worth a word. */
const SLOW_CHECKPOINT_MS = 60_000;

export function diagnose(report: JobReport, nowMs: number): Finding[] {
  return [
    ...lifeOf(report),
    ...report.troubles.map(({ what, reason, sinceMs, where }): Finding => {
      const says = `${what} does not succeed for ${age(sinceMs, nowMs)} (${where.join(", ")}): ${reason}`;
      return {
        finding: "trouble",
        says,
        help: "it is tried again and again, and goes on once that is mended",
      };
    }),
    ...checkpointsOf(report),
    ...heldEventTime(report, nowMs),
    ...lostRecords(report),
  ];
}

function lifeOf({ job, status, phase, waitingFor, failures, restarts, workers }: JobReport): Finding[] {
  const latest = failures.at(-1);
  const failure = latest === undefined ? "" : `: ${latest.where}: ${latest.reason}`;
  if (waitingFor !== "")
    return [
      {
        finding: "waitingForWorkers",
        says: `the job waits for ${waitingFor}; it has ${counted(workers.length, "worker")}`,
        help: 'start workers with "tidemark worker FILE", or give those that run more --slots',
      },
    ];
  if (status === "failed")
    return [
      {
        finding: "failed",
        says: `the job has failed${failure}`,
        help: `mend that and submit the job again; "tidemark describe ${job}" shows what it goes on from`,
      },
    ];
  if (status !== "running")
    return [
      {
        finding: "notRunning",
        says: `the job is ${status}${phase === status ? "" : `, ${phaseInWords(phase)}`}`,
        help: "",
      },
    ];
  if (latest !== undefined && !latest.recovered)
    return [
      {
        finding: "restarts",
        says: `the job has failed and does not run again yet, it is ${phaseInWords(phase)}${failure}`,
        help: `it was started anew ${counted(restarts, "time")} under this leader: mend what fails`,
      },
    ];
  return [];
}

function checkpointsOf({ job, checkpoints }: JobReport): Finding[] {
  const { hold, latestAborted, latest, pending } = checkpoints;
  const found: Finding[] = [];
  if (hold !== "")
    found.push({ finding: "checkpointsHeld", says: `no checkpoint begins: ${hold}`, help: "" });
  if (latestAborted !== null && latestAborted.checkpointId > (latest?.checkpointId ?? 0))
    found.push({
      finding: "checkpointAborted",
      says: `checkpoint ${latestAborted.checkpointId} was given up, and none has been complete since: ${latestAborted.reason}`,
      help: `"tidemark checkpoints show ${job}" tells of those before it`,
    });
  for (const { checkpointId, ageMs, missing } of pending.slice(0, 1))
    if (ageMs >= SLOW_CHECKPOINT_MS)
      found.push({
        finding: "checkpointSlow",
        says: `checkpoint ${checkpointId} has been under way for ${formatDuration(Math.round(ageMs / 1000) * 1000)}, and waits for ${missing.map(({ subtask }) => subtask).join(", ") || "its manifest"}`,
        help: `"tidemark checkpoints show ${job}" tells what each of them does`,
      });
  return found;
}

/** One finding for each holder, with all operators that it holds. */
function heldEventTime({ eventTime }: JobReport, nowMs: number): Finding[] {
  const held = new Map<
    string,
    { readonly holder: TimeHolder; readonly times: JobReport["eventTime"][number][] }
  >();
  for (const time of eventTime)
    for (const holder of time.holders) {
      if (!stands(holder, nowMs)) continue;
      const name = nameOf(holder);
      const known = held.get(name) ?? { holder, times: [] };
      known.times.push(time);
      held.set(name, known);
    }
  return [...held.values()].map(({ holder, times }): Finding => {
    const operators = times.flatMap((time) => time.operators);
    // The last of them is the one that the user waits for.
    const far = howFar(times.at(-1)!, nowMs);
    return {
      finding: "eventTimeHeld",
      says: `${nameOf(holder)} holds the event time of ${operators.join(", ")} for ${age(holder.sinceMs, nowMs)} (${far}): ${whyHeld(holder, nowMs)}`,
      help: helpFor(holder),
    };
  });
}

function helpFor(holder: TimeHolder): string {
  const { operator, pending, idleAfterMs, watermark } = holder;
  if ((holder.reason === "silent" || holder.reason === "noRecord") && pending !== undefined && pending > 0)
    return "its messages do not come: look for what is tried in vain, and whether the worker has enough time to read";
  if (holder.reason === "silent" || holder.reason === "noRecord")
    return idleAfterMs === undefined
      ? `if records may stay away so long, give source ${operator} "idleAfter": a split without any holds nothing back then`
      : `if that is too long, give source ${operator} a shorter "idleAfter"`;
  if (holder.reason === "noProgress")
    return watermark === null
      ? `look whether its records have timestamps: give source ${operator} "timestamp"`
      : `look at what "timestamp" and "watermarks" of source ${operator} answer: a record from far ahead may have moved the watermark, which "maxTimestampAhead" prevents`;
  return help[holder.reason](holder);
}

const help: Readonly<
  Record<Exclude<HolderReason, "silent" | "noRecord" | "noProgress">, (holder: TimeHolder) => string>
> = {
  noWatermarks: ({ operator }) =>
    `give source ${operator} "watermarks"; "idleAfter" beside it lets event time go on where it is silent`,
  paused: () => 'look for the slowest split, or give the sources a larger "alignment.maxDrift"',
  rules: () => 'bring what it waits for, or leave "waitFor" out',
  firing: () => "it goes on when that is done; more parallelism makes it shorter",
  requests: () =>
    'look at what is asked: a shorter "timeout", a larger "capacity" and more parallelism let it go on earlier',
  noRoom: () => "look for the slowest operator or sink behind it, and give that more parallelism",
  stopped: () => "it goes on, or the job ends, when what the job was asked for is done",
};

const LOST: Readonly<Record<string, string>> = {
  late: "were late and took no part",
  outside: "lay in no window and took no part",
  partlyLate: "were late for some of their windows",
};

function lostRecords({ subtasks }: JobReport): Finding[] {
  const sums = new Map<string, number>();
  for (const { operator, figures } of subtasks.flatMap(({ operators }) => operators))
    for (const name of Object.keys(LOST)) {
      const key = `${operator}\n${name}`;
      sums.set(key, (sums.get(key) ?? 0) + (figures[name] ?? 0));
    }
  const late = [...sums].flatMap(([key, records]): Finding[] => {
    const [operator = "", name = ""] = key.split("\n");
    if (records === 0) return [];
    return [
      {
        finding: "recordsLate",
        says: `${counted(records, "record")} of operator ${operator} ${LOST[name]}`,
        help: 'read its late output, allow for more in "boundedOutOfOrderness", or give windows "allowedLateness"',
      },
    ];
  });
  const skipped = subtasks.flatMap(({ subtask, skipped: one }): Finding[] =>
    one === null || one.sequences === 0
      ? []
      : [
          {
            finding: "inputSkipped",
            says: `${subtask} has skipped ${count(one.sequences)} sequences that its stream did not hold any more`,
            help: "give the stream a longer retention, or the job more time to read",
          },
        ],
  );
  return [...late, ...skipped];
}
