/**
 * The stream a sink writes to: what it has to allow, how to mend it, and what it takes in one batch.
 *
 * Facts in, words out; only `readStream` talks to the server. Making and mending it: stream-provision.ts.
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import { CommitRefusedError } from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { NatsLink } from "../connection/link.ts";
import { natsCommand } from "../connection/nats-command.ts";
import { capturesAll, overlaps } from "./stream-subjects.ts";

/** The most bytes of a marker's message: its headers and its JSON. */
const MARKER_BYTES_MAX = 512;

/** The prefix of the subjects of a sink's markers, unless the user names another one. */
export function defaultMarkerPrefix(stream: string): string {
  return `tidemark-marker.${stream}`;
}

/** What the server says about a stream that it does not know. */
export function isStreamMissing(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** undefined: the stream does not exist. @throws EnvironmentError, or what passes (`isPassing`) */
export async function readStream(nats: NatsEnvironment, stream: string): Promise<StreamInfo | undefined> {
  const manager = await nats.manager();
  return await NatsLink.of(nats.connection).ask(`stream ${stream}`, async () => {
    try {
      return await manager.streams.info(stream);
    } catch (error) {
      if (isStreamMissing(error)) return undefined;
      throw error;
    }
  });
}

/** What a sink misses in a stream. */
export interface Shortcoming {
  readonly text: string;
  /** Flags of `nats stream edit` that mend it; "by hand": its dialogue does; undefined: only a new stream does. */
  readonly flags: readonly string[] | "by hand" | undefined;
  /** What `provision` changes; nothing that a limit was meant for. */
  readonly update: Partial<StreamConfig>;
}

/** Settings that the client's types do not know yet. */
interface NewerConfig {
  readonly persist_mode?: string;
  readonly allow_msg_counter?: boolean;
}

/** @param markerSubjects of an exactly-once sink; undefined: there are no transactions */
export function shortcomings(config: StreamConfig, markerSubjects: string | undefined): Shortcoming[] {
  const found: Shortcoming[] = [];
  const add = (text: string, flags: string[] | undefined, update: Partial<StreamConfig> = {}) =>
    found.push({ text, flags, update });
  if (config.sealed) add("it is sealed", undefined);
  if (config.mirror !== undefined) add("it is a mirror, which only copies", undefined);
  if ((config as NewerConfig).allow_msg_counter) add("it is a counter and takes only increments", undefined);
  if (config.no_ack) add("no_ack is on: nothing written would ever be acknowledged", ["--ack"]);
  if (config.max_msg_size > 0 && config.max_msg_size < MARKER_BYTES_MAX) {
    add(
      `max_msg_size is ${config.max_msg_size}, and ${MARKER_BYTES_MAX} bytes are needed beside any record`,
      ["--max-msg-size=-1"],
    );
  }
  if (markerSubjects !== undefined && config.mirror === undefined) {
    found.push(...transactionalShortcomings(config, markerSubjects));
  }
  return found;
}

function transactionalShortcomings(config: StreamConfig, markerSubjects: string): Shortcoming[] {
  const found: Shortcoming[] = [];
  const add = (text: string, flags: Shortcoming["flags"], update: Partial<StreamConfig> = {}) =>
    found.push({ text, flags, update });
  if ((config as NewerConfig).persist_mode === "async") {
    add("persist_mode is async, which allows no atomic batches", undefined);
  } else if (config.allow_atomic !== true) {
    add("allow_atomic is off", ["--allow-batch"], { allow_atomic: true });
  }
  if (config.deny_purge) {
    add("deny_purge is on, which allows no rollups", undefined);
  } else if (config.allow_rollup_hdrs !== true) {
    add("allow_rollup_hdrs is off", ["--allow-rollup"], { allow_rollup_hdrs: true });
  }
  if (config.allow_msg_ttl !== true) {
    add("allow_msg_ttl is off", ["--allow-msg-ttl"], { allow_msg_ttl: true });
  }
  const own = config.subjects ?? [];
  if (!capturesAll(own, markerSubjects)) {
    const subjects = [...own, markerSubjects];
    add(`its subjects do not contain ${markerSubjects}`, [`--subjects=${subjects.join(",")}`], {
      subjects,
    });
  }
  if (config.discard_new_per_subject && config.max_msgs_per_subject === 1) {
    add(
      "discard_new_per_subject with max_msgs_per_subject 1 refuses to replace a message, the marker's too",
      ["--no-discard-per-subject"],
    );
  }
  if (config.retention === RetentionPolicy.Interest) {
    add("retention is interest: a marker that no consumer reads would vanish", undefined);
  }
  if (config.storage !== StorageType.File) add("storage is not file: a restart would lose output", undefined);
  if (config.subject_transform !== undefined) {
    const { src } = config.subject_transform;
    if (src === undefined || src === "" || overlaps(src, markerSubjects)) {
      add("its subject_transform renames the markers", "by hand");
    }
  }
  return found;
}

/**
 * In one sentence: what is missing and what mends it.
 * @param resumed the job has written to the stream before, and goes on there
 */
export function unsuitable(
  nats: NatsEnvironment,
  stream: string,
  found: readonly Shortcoming[],
  guarantee: "exactly-once" | "at-least-once",
  resumed: boolean,
): string {
  const reasons = found.map((each) => each.text).join("; ");
  const mending = [];
  const command = editCommand(nats, stream, found);
  const provided = found.every(({ flags, update }) => flags === undefined || Object.keys(update).length > 0);
  if (command !== undefined) mending.push(`run: ${command}${provided ? " (or provision: true)" : ""}`);
  if (found.some(({ flags }) => flags === "by hand"))
    mending.push(`take it out: ${natsCommand(nats, "stream", "edit", stream, "--interactive")}`);
  const isFinal = found.some(({ flags }) => flags === undefined);
  if (isFinal) mending.push(resumed ? copied(stream) : "write to a new stream");
  const again = resumed ? ", then start the job again: it goes on where it stopped" : "";
  const otherwise = resumed && isFinal ? "; or start over with --fresh and write to a new stream" : "";
  return `stream ${stream} cannot take ${guarantee} output: ${reasons}. To mend it, ${mending.join(", and ")}${again}${otherwise}`;
}

/** Markers and output belong together, so a job that goes on needs both in the stream of this name. */
function copied(stream: string): string {
  return (
    `put a copy with other settings in its place (nats stream backup ${stream} DIR, nats stream rm ${stream}, ` +
    "nats stream restore DIR --config=FILE)"
  );
}

/** What stops a job whose output has gone: a stream that is made anew would not tell what was committed (P22). */
export function targetGone(stream: string, cause?: unknown): CommitRefusedError {
  return new CommitRefusedError(
    `stream ${stream}, which the job has written to, does not exist any more: restore it from a backup ` +
      "(nats stream restore DIR), then start the job again: it goes on where it stopped; or start over with --fresh and a " +
      "new stream",
    { cause },
  );
}

/** The command that mends what can be mended by editing; undefined when there is nothing of the kind. */
function editCommand(
  nats: NatsEnvironment,
  stream: string,
  found: readonly Shortcoming[],
): string | undefined {
  const flags = found.flatMap((each) => (Array.isArray(each.flags) ? (each.flags as string[]) : []));
  return flags.length === 0 ? undefined : natsCommand(nats, "stream", "edit", stream, ...flags, "--force");
}

/**
 * Settings under which output may be refused or a marker lost later; the job says so when it starts.
 * @param transactional whether there are markers
 */
export function risks(nats: NatsEnvironment, config: StreamConfig, transactional: boolean): string[] {
  const found: string[] = [];
  const limited = config.max_msgs > 0 || config.max_bytes > 0;
  const waits = transactional
    ? "the job stops, resumably, until there is room"
    : "records wait until there is room";
  if (limited && config.discard === DiscardPolicy.New) {
    found.push(`once it is full (max_msgs or max_bytes with discard new) ${waits}`);
  }
  if (config.discard_new_per_subject && config.max_msgs_per_subject > 0) {
    found.push(
      `it refuses further messages of a subject that has ${config.max_msgs_per_subject} (discard_new_per_subject), and ` +
        `then ${waits}; to replace old ones instead: ${keepNewest(nats, config.name)}`,
    );
  }
  if (!transactional) return found;
  if (limited && config.discard === DiscardPolicy.Old) {
    found.push("max_msgs or max_bytes with discard old can evict the marker of a sink that is idle for long");
  }
  if (config.retention === RetentionPolicy.Workqueue) {
    found.push(
      "a consumer that takes and acknowledges the marker subjects of this work queue deletes the markers",
    );
  }
  return found;
}

/** The command that makes a stream replace the oldest message of a subject instead of refusing a new one. */
export function keepNewest(nats: NatsEnvironment, stream: string): string {
  return natsCommand(nats, "stream", "edit", stream, "--no-discard-per-subject", "--force");
}

/** What a message costs a stream beside subject, headers and payload: its frame and the headers of the batch. */
const STORED_OVERHEAD_BYTES = 160;

export interface PartSize {
  readonly partMessagesMax: number;
  readonly partBytesMax: number;
}

/**
 * Parts that an empty stream can take: one that is larger than a stream which discards nothing would never be
 * committed.
 *
 * @param batchMessagesMax messages that the server takes in one batch
 * @param writers how many markers lie in the stream
 */
export function fittingParts(
  wanted: PartSize,
  config: StreamConfig,
  batchMessagesMax: number,
  writers: number,
): PartSize {
  // One message of each batch is the marker.
  let messages = Math.min(wanted.partMessagesMax, batchMessagesMax - 1);
  let bytes = wanted.partBytesMax;
  if (config.discard === DiscardPolicy.New) {
    if (config.max_msgs > 0) messages = Math.min(messages, config.max_msgs - writers - 1);
    if (config.max_bytes > 0) {
      bytes = Math.min(bytes, Math.floor(config.max_bytes / 4));
      messages = Math.min(messages, Math.floor(config.max_bytes / 4 / STORED_OVERHEAD_BYTES));
    }
  }
  return { partMessagesMax: Math.max(1, messages), partBytesMax: Math.max(1, bytes) };
}
