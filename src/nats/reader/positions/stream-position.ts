/** Whether a stream is still the one a job has read (P32), and what became of messages that it no longer has (P42). */
import type { StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { Gaps } from "../../../dataflow/source.ts";
import { SourcePositionError } from "../../../errors.ts";
import { filtersOverlap } from "../../../formats/positions/subject-filter.ts";
import { shellCommand } from "../../../shell-command.ts";
import { defaultMarkerPrefix } from "../../publisher/sink-target.ts";

/** Sequences, both included. */
export interface SequenceRange {
  readonly from: number;
  readonly to: number;
}

interface ReadSoFar {
  readonly job: string;
  readonly operator: string;
  readonly stream: string;
  /** `created` of the stream at discovery. */
  readonly created: string;
  /** Last sequence that needs no reading any more. */
  readonly received: number;
  /** Last sequence of a bounded input. */
  readonly end: number | undefined;
  /** The retention at discovery; undefined: it does not matter. */
  readonly retention?: StreamConfig["retention"] | undefined;
}

const START_OVER = `start over (${shellCommand("tidemark", "run", "FILE", "--fresh")}), or go on from a savepoint that fits`;

export function identityProblem(read: ReadSoFar, info: StreamInfo): SourcePositionError | undefined {
  const { stream, created, received, end, retention } = read;
  if (info.created !== created) {
    return new SourcePositionError(
      `stream "${stream}" is not the one the job has read: this one was created at ${info.created}, the job's at ${created}; ${acceptCopy(read)}, or ${START_OVER}`,
    );
  }
  if (info.config.retention === "interest" && retention === "limits") {
    const back = shellCommand("nats", "stream", "edit", stream, "--retention=limits", "--force");
    return new SourcePositionError(
      `stream "${stream}" had limits retention when the job began to read it, and has interest retention now: it may drop ` +
        `what the job has not read. The job stops there, with its state; set it back (${back}) and run the job again, or ${START_OVER}`,
    );
  }
  const last = info.state.last_seq;
  const seen = Math.max(received, end ?? 0);
  if (last < seen) {
    return new SourcePositionError(
      `stream "${stream}" ends at sequence ${last}, but the job knows it up to sequence ${seen}: it was set back to an older copy, and new messages would get sequences that the job has read; restore the whole stream, ${beginAnew(read)}, or ${START_OVER}`,
    );
  }
  return undefined;
}

export function missingStream(
  source: Pick<ReadSoFar, "job" | "stream" | "operator">,
  received: number,
  cause: unknown,
): SourcePositionError {
  const { stream } = source;
  return new SourcePositionError(
    `stream "${stream}" does not exist any more; the job has read it up to sequence ${received}: one that is made anew is another one to the job, also when it comes from a backup (nats stream restore DIR); ${acceptCopy(source)}, or ${START_OVER}`,
    { cause },
  );
}

function acceptCopy(source: Pick<ReadSoFar, "job" | "operator">): string {
  const accept = shellCommand("tidemark", "run", "FILE", "--accept-stream", source.operator);
  return `if it is a copy with the same messages under the same sequences, go on in it, with the state: ${accept} (submit and restore take it, too); what the copy lacks is lost; ${beginAnew(source)}`;
}

/** Keeps the state of all other operators. */
function beginAnew({ job, operator }: Pick<ReadSoFar, "job" | "operator">): string {
  const restore = shellCommand(
    "tidemark",
    "restore",
    "FILE",
    "--from",
    `checkpoint:${job}`,
    "--fresh",
    "--drop",
    operator,
  );
  return `to read a stream from its beginning with the state of the other operators: ${restore}`;
}

/** Why nothing more will come to a reader, by what a user has changed, with the next step; undefined: more may come. */
export function inputEnded(
  job: string,
  { config }: StreamInfo,
  filters: readonly string[],
): string | undefined {
  const edit = (...flags: string[]) => shellCommand("nats", "stream", "edit", config.name, ...flags);
  if (config.sealed)
    return `it is sealed: nothing more will come; end the job with "tidemark stop ${job}" or "tidemark cancel ${job}"`;
  if (filters.length === 0 || config.mirror !== undefined || config.sources !== undefined) return undefined;
  const named = filters.map((filter) => `"${filter}"`).join(", ");
  const { src = ">", dest } = config.subject_transform ?? {};
  const isMoved = dest !== undefined && !filters.some((filter) => filtersOverlap(filter, patternOf(dest)));
  if (isMoved && filters.every((filter) => filtersOverlap(filter, src === "" ? ">" : src)))
    return `its subject_transform stores what comes for ${named} under ${dest}, where the job does not read; take it out: ${edit("--interactive")}`;
  const subjects = config.subjects ?? [];
  if (dest !== undefined || filters.some((filter) => subjects.some((one) => filtersOverlap(one, filter))))
    return undefined;
  return `it does not take ${named} any more, so nothing will come: ${edit(`--subjects=${[...subjects, ...filters].join(",")}`, "--force")}`;
}

/** The subjects that a destination of a transform may give. */
function patternOf(destination: string): string {
  return destination
    .split(".")
    .map((token) => (token.includes("{{") ? "*" : token))
    .join(".");
}

/**
 * Everything below this sequence is gone, and may have gone unread. What is missing above it was deleted singly: by a
 * deletion or purge of some subjects, a newer message of its subject, a rollup, or its time to live. That is no loss.
 *
 * @param unheld up to here an interest stream may have dropped messages, because the progress consumer was away
 */
export function firstSequence(
  { config, state }: StreamInfo,
  { filters, unheld }: { readonly filters: readonly string[]; readonly unheld: number },
): number {
  // What no consumer waits for leaves an interest stream at once; the progress consumer keeps what is ours, while it is
  // there.
  if (config.retention === "interest" && filters.length > 0 && !hasLimits(config)) return unheld + 1;
  return state.first_seq;
}

function hasLimits({ max_msgs, max_bytes, max_age }: StreamConfig): boolean {
  return max_msgs > 0 || max_bytes > 0 || max_age > 0;
}

/** Why the messages of a stream go away by design, in words; undefined: they do not. */
export function goesAwayByDesign(config: StreamConfig, filters: readonly string[]): string | undefined {
  if (config.max_msgs_per_subject > 0) {
    const most = config.max_msgs_per_subject;
    return `it keeps ${most === 1 ? "the last message" : `the last ${most} messages`} of each subject`;
  }
  // A sink needs both in its target, for its marker alone.
  if (!isTargetOfSink(config)) {
    if (config.allow_rollup_hdrs) return "it allows rollups, by which a message replaces earlier ones";
    if (config.allow_msg_ttl) return "its messages may have a time to live";
  }
  if (config.retention === "interest" && filters.length > 0)
    return "it drops the messages of other subjects when their consumers have them, and those of this source only while its progress consumer is away";
  return undefined;
}

/** Whether a sink writes to the stream, told by its markers' subject; a prefix of the user's own is not recognised. */
function isTargetOfSink({ name, subjects }: StreamConfig): boolean {
  return subjects?.includes(`${defaultMarkerPrefix(name)}.>`) ?? false;
}

/** What happens where input of a split is missing, and why so. */
export function decisionAboutGaps(
  asked: Gaps | undefined,
  config: StreamConfig,
  filters: readonly string[],
): { readonly gaps: Gaps; readonly gapsReason: string } {
  if (asked !== undefined) return { gaps: asked, gapsReason: "as the source says" };
  const reason = goesAwayByDesign(config, filters);
  if (reason === undefined) return { gaps: "fail", gapsReason: "the default" };
  return {
    gaps: "skip",
    gapsReason: `because messages of stream ${config.name} go away by design: ${reason}`,
  };
}

/** What stops a job with `gaps: "fail"`. */
export function gapProblem(
  {
    stream,
    operator,
    filters,
    unheld,
  }: { stream: string; operator: string; filters: readonly string[]; unheld: number },
  { from, to }: SequenceRange,
  info: StreamInfo,
): SourcePositionError {
  const range = from === to ? `sequence ${from} is` : `sequences ${from} to ${to} are`;
  const held =
    filters.length === 0
      ? "the job has not read"
      : `may have held messages of ${filters.map((filter) => `"${filter}"`).join(", ")} that the job has not read, or none: the server cannot tell any more`;
  const limits = limitsOf(info.config);
  const wasUnheld = from <= unheld;
  const cause = wasUnheld
    ? "the progress consumer of the source, which holds what is not read yet, was away, and an interest stream drops what no consumer waits for"
    : limits === ""
      ? "a purge or a deletion took them"
      : `a limit of the stream (${limits}), a purge or a deletion took them`;
  const keep =
    limits === ""
      ? ""
      : `; so that it does not happen again, raise the limits: ${shellCommand("nats", "stream", "edit", stream)}`;
  return new SourcePositionError(
    `stream "${stream}" ${wasUnheld ? "has lost messages" : `begins at sequence ${info.state.first_seq}`}, but the job goes on at sequence ${from}: ${range} gone, which ${held}; ${cause}. ` +
      `The job stops in front of them. To go on without them, with its state: ${shellCommand("tidemark", "run", "FILE", "--skip-gaps", operator)} ` +
      `(submit and restore take it, too; or set gaps: "skip" on the source)${keep}`,
  );
}

function limitsOf({ max_msgs, max_bytes, max_age }: StreamConfig): string {
  return [
    ...(max_msgs > 0 ? [`max_msgs ${max_msgs}`] : []),
    ...(max_bytes > 0 ? [`max_bytes ${max_bytes}`] : []),
    ...(max_age > 0 ? [`max_age ${max_age / 1e9} s`] : []),
  ].join(", ");
}
