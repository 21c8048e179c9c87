/** What a user may say of a JetStream source, and the checks that need no server. */
import { checkMembers } from "../../config/members.ts";
import type { Gaps } from "../../dataflow/source.ts";
import { ConfigurationError } from "../../errors.ts";
import { isSubjectFilter } from "../../formats/positions/subject-filter.ts";
import { FilterSet } from "../../nats/reader/subject-filter.ts";
import { checkPartitions, filtersByPartition, type SubjectPartitions } from "./partitions.ts";

/** The options of `jetstreamSource`, besides `decode`. */
export interface JetStreamSourceOptions {
  /** Name of an existing stream. */
  readonly stream: string;
  /**
   * One split for each entry: a subject filter ("orders.eu.>"), or several. They must not overlap. Splits are what is
   * dealt out to the source's subtasks. Default: one split, the whole stream.
   */
  readonly subjects?: readonly (string | readonly string[])[];
  /**
   * One split for each partition that a token of the subjects names: { subject: "orders.{partition}.>", count: 12 }
   * reads "orders.0.>" to "orders.11.>". In the place of `subjects`. A message under another token is in no partition:
   * a job does not begin as long as the stream has one, and one that runs shows a trouble. Not for interest streams.
   */
  readonly partitions?: SubjectPartitions;
  /** "end": a bounded input, up to what is there when the job is submitted. Default: never ends. */
  readonly until?: "end";
  /** The message that a new job begins with. "new": the first one after its submission. Default "first". */
  readonly startAt?: "first" | "new" | { readonly sequence: number };
  /**
   * A durable consumer shows progress after each completed checkpoint, named `tidemark-<job>-<operator>-<split>`, or
   * beginning with the name given here. It goes when the job has ended for good. A consumer of that name that was not
   * made for this job is left alone; if the name is given here, the job is refused. Interest streams need one. Default
   * true.
   */
  readonly progress?: boolean | string;
  /**
   * What happens where messages have gone from the stream and the job may not have read them: by its limits, by a
   * purge. "fail": the job stops in front of them, with its state, and says how it goes on. "skip": it goes on, counts
   * them and says so. Default "skip" where the messages of the stream go away by design: a KV bucket, a limit per
   * subject, rollups, a time to live of messages, and some subjects of an interest stream; else "fail". `--skip-gaps`
   * overrules it.
   */
  readonly gaps?: Gaps;
  /** true: it may read what a sink of the same job writes; the job feeds itself. Default: refused at submission. */
  readonly readsOwnOutput?: true;
  /** "public": read by the NATS library's public interface only; slower. Default "diverting". */
  readonly reader?: "diverting" | "public";
}

const OPTIONS = [
  "stream",
  "subjects",
  "partitions",
  "decode",
  "integers",
  "until",
  "startAt",
  "progress",
  "gaps",
  "readsOwnOutput",
  "reader",
];

export function checkOptions(
  options: JetStreamSourceOptions & { readonly decode?: unknown; readonly integers?: unknown },
): void {
  checkMembers(options, OPTIONS, "jetstreamSource", "option");
  const { stream, subjects, decode, until, startAt, progress, gaps, reader } = options;
  if (typeof stream !== "string" || !/^[^\s.*>/\\]+$/.test(stream)) {
    throw wrong("stream", `"${stream}" is not the name of a stream: no spaces, dots, "*", ">", "/" or "\\"`);
  }
  if (subjects !== undefined) checkSubjects(subjects);
  if (options.partitions !== undefined) {
    if (subjects !== undefined)
      throw wrong("partitions", `takes the place of "subjects": leave one of them out`);
    checkPartitions(options.partitions);
  }
  if (
    decode !== undefined &&
    typeof decode !== "function" &&
    !["text", "json", "bytes"].includes(String(decode))
  ) {
    throw wrong("decode", `must be "text", "json", "bytes" or a function (data, subject) => value`);
  }
  const { integers } = options;
  if (integers !== undefined && !["bigint", "text", "refuse"].includes(String(integers))) {
    throw wrong(
      "integers",
      `must be "bigint", "text" or "refuse"; leave it out for JSON.parse, which rounds`,
    );
  }
  if (integers !== undefined && decode !== undefined && decode !== "json") {
    throw wrong("integers", `belongs to decode: "json"`);
  }
  if (until !== undefined && until !== "end") throw wrong("until", `must be "end" or left out`);
  if (typeof startAt === "object") {
    if (!Number.isSafeInteger(startAt.sequence) || startAt.sequence < 1) {
      throw wrong("startAt", `its sequence must be a whole number from 1 on, not ${startAt.sequence}`);
    }
  } else if (startAt !== undefined && startAt !== "first" && startAt !== "new") {
    throw wrong("startAt", `must be "first", "new" or { sequence }`);
  }
  if (until === "end" && startAt === "new") {
    throw wrong("startAt", `"new" together with until: "end" would read nothing`);
  }
  if (typeof progress === "string" ? !/^[A-Za-z0-9_-]+$/.test(progress) : !isOptionalBoolean(progress)) {
    throw wrong("progress", `must be true, false or a name of letters, digits, "-" and "_"`);
  }
  if (gaps !== undefined && gaps !== "fail" && gaps !== "skip")
    throw wrong("gaps", `must be "fail" or "skip"`);
  if (options.readsOwnOutput !== undefined && options.readsOwnOutput !== true)
    throw wrong("readsOwnOutput", "must be true or left out");
  if (reader !== undefined && reader !== "diverting" && reader !== "public") {
    throw wrong("reader", `must be "diverting" or "public"`);
  }
}

function checkSubjects(subjects: readonly (string | readonly string[])[]): void {
  if (!Array.isArray(subjects) || subjects.length === 0) {
    throw wrong("subjects", "must name at least one subject filter; leave it out to read the whole stream");
  }
  const seen = new FilterSet();
  for (const filter of subjects.flatMap((entry) => filtersOf(entry))) {
    if (typeof filter !== "string" || !isSubjectFilter(filter)) {
      throw wrong("subjects", `"${filter}" is not a subject filter such as "orders.eu.>"`);
    }
    const other = seen.overlapping(filter);
    if (other !== undefined) {
      throw wrong("subjects", `"${other}" and "${filter}" overlap: records would be read twice`);
    }
    seen.add(filter);
  }
  if (subjects.some((entry) => filtersOf(entry).length === 0)) throw wrong("subjects", "has an empty group");
}

/** The filters of each split; none: the split has the whole stream. */
export function filterGroups({
  subjects,
  partitions,
}: JetStreamSourceOptions): readonly (readonly string[])[] {
  if (partitions !== undefined) return filtersByPartition(partitions).map((filter) => [filter]);
  return (subjects ?? [[]]).map(filtersOf);
}

function filtersOf(entry: string | readonly string[]): readonly string[] {
  return typeof entry === "string" ? [entry] : entry;
}

function isOptionalBoolean(value: unknown): boolean {
  return value === undefined || typeof value === "boolean";
}

export function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(
    `jetstreamSource.${option}`,
    `jetstreamSource: option "${option}": ${problem}`,
  );
}
