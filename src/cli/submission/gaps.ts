/** What a submission says about input that may have gone unread (P42), or whose stream was made anew (P32). */
import { type Command, Option } from "commander";
import type { JobReport, JobSubmission } from "../../control/messages.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { ConfigurationError } from "../../errors.ts";

type Splits = JobSubmission["splits"];

export interface GapFlags {
  /** Sources that go on where input may have gone unread. */
  readonly skipGaps?: readonly string[];
  /** Sources whose stream is a copy of the one that they have read. */
  readonly acceptStream?: readonly string[];
}

export function addGapOptions(command: Command): Command {
  const repeatable = (source: string, all: readonly string[] | undefined) => [...(all ?? []), source];
  return command
    .addOption(
      new Option(
        "--skip-gaps <source>",
        "go on where input of this source has gone that may not have been read, and count it; until the next submission; repeatable",
      ).argParser(repeatable),
    )
    .addOption(
      new Option(
        "--accept-stream <source>",
        "the stream of this source was made anew and is a copy of the one that it has read, with the same sequences: go on in it; repeatable",
      ).argParser(repeatable),
    );
}

/** @throws ConfigurationError as the two below */
export function withDecisions(splits: Splits, { skipGaps = [], acceptStream = [] }: GapFlags): Splits {
  return withAcceptedStreams(withSkippedGaps(splits, skipGaps), acceptStream);
}

/** @throws ConfigurationError for a name that is no source of the job, or one whose input is never made anew */
function withAcceptedStreams(splits: Splits, sources: readonly string[]): Splits {
  const able = Object.keys(splits).filter((source) => splits[source]!.some((split) => "created" in split));
  for (const source of sources)
    if (!able.includes(source))
      throw new ConfigurationError(
        "--accept-stream",
        `--accept-stream ${source}: the job has no source of this name that reads a stream; ` +
          (able.length === 0 ? "none of them does" : `these do: ${able.join(", ")}`),
      );
  return Object.fromEntries(
    Object.entries(splits).map(([source, some]) => [
      source,
      sources.includes(source) ? some.map((split) => ({ ...split, accepted: true })) : some,
    ]),
  );
}

/** @throws ConfigurationError for a name that is no source of the job, or one whose input cannot go */
function withSkippedGaps(splits: Splits, sources: readonly string[]): Splits {
  const able = Object.keys(splits).filter((source) => splits[source]!.some((split) => "gaps" in split));
  for (const source of sources) {
    if (able.includes(source)) continue;
    const known = able.length === 0 ? "none of them can lose input" : `these can: ${able.join(", ")}`;
    throw new ConfigurationError(
      "--skip-gaps",
      `--skip-gaps ${source}: the job has no source of this name whose input can go unread; of its sources ${known}`,
    );
  }
  return Object.fromEntries(
    Object.entries(splits).map(([source, some]) => [
      source,
      sources.includes(source)
        ? some.map((split) => ({ ...split, gaps: "skip", gapsReason: "as --skip-gaps says" }))
        : some,
    ]),
  );
}

/** One line for each source and decision. */
export function describeGaps(splits: Splits): string[] {
  return Object.entries(splits).flatMap(([source, some]) => {
    const lines = some.map((split) => {
      const { gaps, gapsReason } = split as SourceSplit;
      if (gaps === undefined) return "";
      const what =
        gaps === "fail"
          ? "the job stops in front of it, with its state"
          : "it is skipped and counted, and the job goes on";
      return `${source}: where input goes away unread, ${what} (gaps: "${gaps}", ${gapsReason})`;
    });
    return [...new Set(lines)].filter((line) => line !== "");
  });
}

/** "2 ranges of 130 sequences skipped" */
export function describeSkipped(skipped: { readonly ranges: number; readonly sequences: number }): string {
  const { ranges, sequences } = skipped;
  const of = (count: number, noun: string) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  return `${of(ranges, "range")} of ${of(sequences, "sequence")} skipped, which may have held unread input`;
}

const SAID_EVERY_MS = 10_000;

/** Says on the terminal what a source has skipped: when it begins, and at most every ten seconds. */
export class SkippedLines {
  readonly #said = new Map<string, { readonly ranges: number; readonly atMs: number }>();

  news({ subtasks }: Pick<JobReport, "subtasks">, nowMs: number): string[] {
    return subtasks.flatMap(({ subtask, skipped }) => {
      const said = this.#said.get(subtask);
      if (skipped === null || skipped.ranges === said?.ranges) return [];
      if (said !== undefined && nowMs - said.atMs < SAID_EVERY_MS) return [];
      this.#said.set(subtask, { ranges: skipped.ranges, atMs: nowMs });
      return [`${subtask}: ${describeSkipped(skipped)}`];
    });
  }
}
