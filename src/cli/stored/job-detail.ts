/** Jobs as people and programs read them, from the durable record alone. */

import { regionsOf } from "../../../machines/leader/regions.ts";
import type { JobRecord } from "../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../machines/record.ts";
import { formatDuration } from "../../config/quantity.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { describePlan } from "../../job/plan.ts";
import { age, counted, moment, size, table } from "../output/text.ts";
import { describeGaps } from "../submission/gaps.ts";
import { describeSplits, type SplitDetail } from "./split-positions.ts";

/** One line of `list`. */
export interface JobSummary {
  readonly job: string;
  readonly status: JobRecord["status"];
  readonly generation: number;
  readonly checkpoint: {
    readonly checkpointId: number;
    readonly completedAtMs: number;
    readonly bytes: number;
  } | null;
  readonly updatedAtMs: number;
}

export function summaryOf(record: JobRecord): JobSummary {
  const { job, status, generation, updatedAtMs } = record;
  const latest = latestCheckpoint(record);
  return {
    job,
    status,
    generation,
    checkpoint:
      latest === undefined
        ? null
        : {
            checkpointId: latest.checkpointId,
            completedAtMs: latest.completedAtMs,
            bytes: latest.bytes,
          },
    updatedAtMs,
  };
}

export function describeJobs(jobs: readonly JobSummary[], nowMs: number): string {
  if (jobs.length === 0) return "no jobs";
  const rows = jobs.map(({ job, status, generation, checkpoint }) => [
    job,
    status,
    String(generation),
    ...(checkpoint === null
      ? ["none", "", ""]
      : [String(checkpoint.checkpointId), age(checkpoint.completedAtMs, nowMs), size(checkpoint.bytes)]),
  ]);
  return table([["JOB", "STATUS", "GENERATION", "CHECKPOINT", "AGE", "SIZE"], ...rows]);
}

/** How far the input was read at the latest checkpoint; a text: why that cannot be told. */
export type Positions =
  | { readonly checkpointId: number | null; readonly splits: readonly SplitDetail[] }
  | string;

/** All of the record that is about the job, and not about how it is written. */
export function detailOf(record: JobRecord, positions: Positions) {
  const { format: _, token: __, writeId: ___, nonce: ____, ...detail } = record;
  return { ...detail, positions: typeof positions === "string" ? null : positions.splits };
}

export function describeJob(record: JobRecord, positions: Positions, nowMs: number): string {
  const {
    job,
    status,
    settleTo,
    checkpointing,
    restart,
    heartbeat,
    splits,
    checkpoints,
    failures,
    savepoints,
    abandoned,
    fallbacks,
  } = record;
  const { strategy, ...restartSettings } = restart;
  return [
    table([
      ["job", job],
      ["status", settleTo === null ? status : `${status}, then ${settleTo}`],
      ["generation", `${record.generation}, incarnation ${record.incarnation}`],
      ["submitted", `${moment(record.createdAtMs)}; record written ${age(record.updatedAtMs, nowMs)} ago`],
      ["fingerprints", `graph ${record.graphFingerprint}, code ${record.codeFingerprint}`],
      ["checkpointing", settings(checkpointing)],
      ["restart", [strategy, settings(restartSettings)].filter((text) => text !== "").join(": ")],
      ["heartbeat", settings(heartbeat)],
      ...Object.entries(splits).map(([source, some]) => [
        `input of ${source}`,
        `${counted(some.length, "split")}${streamsOf(some)}: ${some.map(({ id }) => id).join(", ")}`,
      ]),
      ...describeGaps(splits).map((line) => ["", line]),
      ...checkpoints.map((one) => [
        `checkpoint ${one.checkpointId}`,
        `${moment(one.completedAtMs)}, ${age(one.completedAtMs, nowMs)} ago, ${size(one.bytes)}, generation ${one.generation}`,
      ]),
      ...savepoints.map((one) => [
        `savepoint ${one.checkpointId}`,
        `${moment(one.completedAtMs)}, ${age(one.completedAtMs, nowMs)} ago, ${size(one.bytes)}, ${one.location}${one.drained === undefined ? "" : ", drained"}`,
      ]),
      ...abandoned.map(({ checkpointId, by, atMs, status, incarnation }) => [
        "given up",
        `${moment(atMs)} by ${by === "dispose" ? "dispose" : "a fresh start"}: checkpoint ${checkpointId} of incarnation ${incarnation}, when the job was ` +
          `${status}; what of its output was not committed by then never will be`,
      ]),
      ...fallbacks.flatMap(({ completed, next, incarnation }) =>
        next === null
          ? []
          : [
              [
                "went back",
                `to ${completed === 0 ? "the beginning" : `checkpoint ${completed}`} in incarnation ${incarnation}, then on with checkpoint ${next}: a savepoint in between is restored only ` +
                  "with --write-again or without its sinks",
              ],
            ],
      ),
      ...failures.map(({ atMs, where, reason }) => ["failure", `${moment(atMs)} ${where}: ${reason}`]),
    ]),
    describePositions(positions),
    describePlan(record.plan, record, regionsOf(record.plan)),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

function streamsOf(splits: JobRecord["splits"][string]): string {
  const streams = (splits as readonly SourceSplit[]).map(({ stream }) => stream);
  const names = [...new Set(streams.filter((stream) => typeof stream === "string"))];
  return names.length === 0 ? "" : ` of stream ${names.join(", ")}`;
}

function describePositions(positions: Positions): string {
  if (typeof positions === "string") return `how far the input was read cannot be told: ${positions}`;
  const text = describeSplits(positions.splits);
  return text === "" ? "" : `read at checkpoint ${positions.checkpointId}\n${text}`;
}

/** What null means, where it is no missing limit. */
const ABSENT: Readonly<Record<string, string>> = { intervalMs: "off", savepointDirectory: "none" };

/** "interval 1 s, timeout 10 m, retained 2": names without their unit, durations as people write them. */
function settings(values: object): string {
  return Object.entries(values)
    .map(([name, value]: [string, unknown]) => {
      const words = name.replace(/Ms$/, "");
      if (value === null) return `${words} ${ABSENT[name] ?? "unlimited"}`;
      if (value === Number.MAX_SAFE_INTEGER) return `${words} unlimited`;
      return `${words} ${words === name ? value : formatDuration(value as number)}`;
    })
    .join(", ");
}
