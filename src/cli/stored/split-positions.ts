/**
 * How far the splits of a job's sources were read at a checkpoint: what decides whether its state may go on with a
 * stream (`--skip-gaps`, `restore`).
 */
import { inspect } from "node:util";
import type { Manifest, SubtaskName } from "../../../machines/protocol.ts";
import { isSplits, splitsIn } from "../../dataflow/operators/source.ts";
import type { Skipped, SplitPosition } from "../../dataflow/source.ts";
import { streamPositionIn } from "../../formats/positions/stream-position.ts";
import { count, table } from "../output/text.ts";
import { describeSkipped } from "../submission/gaps.ts";

export interface SplitDetail {
  readonly source: string;
  readonly subtask: SubtaskName;
  readonly split: string;
  /** null: its source is no JetStream source. */
  readonly jetstream: StreamPosition | null;
  /** The position as the source keeps it; null: the split is at its beginning. */
  readonly position: string | null;
}

interface StreamPosition {
  readonly stream: string;
  /** Empty: all of the stream. */
  readonly subjects: readonly string[];
  /** Sequence of the last record before the barrier; 0: none. */
  readonly lastRead: number;
  /** Nothing of the split up to this sequence can be lost any more (P42). */
  readonly accounted: number;
  /** Ranges that were gone before they were read. */
  readonly skipped: Skipped;
  /** Last sequence of bounded input; null: it never ends. */
  readonly end: number | null;
  readonly gaps: string | null;
}

const POSITION_CHARS_MAX = 200;

export function splitDetailsOf(manifest: Manifest): SplitDetail[] {
  return manifest.subtasks.flatMap(({ subtask, states }) =>
    states.filter(isSplits).flatMap((state) =>
      (splitsIn([state], state.operator) ?? []).map((one) => ({
        source: state.operator,
        subtask,
        split: one.split.id,
        jetstream: streamPositionOf(one),
        position: textOf(one.position),
      })),
    ),
  );
}

/** null: a user's source writes what it likes. */
function streamPositionOf(one: SplitPosition): StreamPosition | null {
  const found = streamPositionIn(one.split, one.position);
  if (found === undefined) return null;
  const { stream, filters, gaps, end = null } = found.split;
  const { read, accounted, skipped } = found.position;
  return { stream, subjects: filters, lastRead: read, accounted, skipped, end, gaps };
}

function textOf(position: unknown): string | null {
  if (position === undefined) return null;
  const text = inspect(position, { breakLength: Number.POSITIVE_INFINITY, depth: 4 });
  return text.length <= POSITION_CHARS_MAX ? text : `${text.slice(0, POSITION_CHARS_MAX - 1)}…`;
}

/** A table of the JetStream ones, then the others, a line each; empty when the job has no source with splits. */
export function describeSplits(splits: readonly SplitDetail[]): string {
  const rows = splits.flatMap(({ subtask, jetstream }) => {
    if (jetstream === null) return [];
    const { stream, subjects, lastRead, accounted, skipped, end } = jetstream;
    return [
      [
        subtask,
        stream,
        subjects.length === 0 ? "all" : subjects.join(", "),
        lastRead === 0 ? "none" : count(lastRead),
        count(accounted),
        end === null ? "" : count(end),
        skipped.ranges === 0 ? "nothing" : describeSkipped(skipped),
      ],
    ];
  });
  const headings = ["SUBTASK", "STREAM", "SUBJECTS", "LAST READ", "ACCOUNTED FOR", "END", "SKIPPED"];
  const others = splits.flatMap(({ subtask, split, jetstream, position }) =>
    jetstream === null ? [`${subtask}  split ${split}: ${position ?? "at its beginning"}`] : [],
  );
  return [...(rows.length === 0 ? [] : [table([headings, ...rows])]), ...others].join("\n");
}
