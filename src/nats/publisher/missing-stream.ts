/**
 * A stream that does not exist: which command makes it as all of its users need it; a bucket as the `nats` tool makes
 * it.
 */
import { StreamMissingError, type WantedStream } from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { natsCommand } from "../connection/nats-command.ts";
import { type BucketStream, bucketStream } from "./bucket-stream.ts";

export function streamMissing(
  nats: NatsEnvironment,
  wanted: WantedStream,
  cause?: unknown,
): StreamMissingError {
  const { stream, usedBy, resumes } = wanted;
  if (resumes === true) {
    // A source knows a stream by the time of its creation, which a restored one does not keep.
    const back =
      usedBy === "sink"
        ? "restore it from a backup (nats stream restore DIR), and the job goes on; or start"
        : "start";
    const text = `stream ${stream}, which the job has used, does not exist any more: ${back} over with --fresh on a new one: ${creation(nats, wanted)}`;
    return new StreamMissingError(wanted, text, { cause });
  }
  const text =
    usedBy === "sink"
      ? `stream ${stream} does not exist. Create it: ${creation(nats, wanted)}; or let the job do it with provision: true`
      : `stream "${stream}" does not exist; create it: ${creation(nats, wanted)}`;
  return new StreamMissingError(wanted, text, { cause });
}

/** One stream for all sinks that want it. @param all of the same name, at least one */
export function wantedByAll(all: readonly WantedStream[]): WantedStream {
  const [first] = all;
  const known = all.every(({ subjects }) => subjects.length > 0);
  return {
    stream: first!.stream,
    subjects: known ? [...new Set(all.flatMap(({ subjects }) => subjects))] : [],
    usedBy: all.every(({ usedBy }) => usedBy === first!.usedBy) ? first!.usedBy : "both",
    markerSubjects: all.find(({ markerSubjects }) => markerSubjects !== undefined)?.markerSubjects,
    resumes: all.some(({ resumes }) => resumes === true),
  };
}

/** @param isLimited where the account wants a size limit for every stream: the user has to fill it in */
export function creation(nats: NatsEnvironment, wanted: WantedStream, isLimited = false): string {
  const { stream, subjects, usedBy, markerSubjects } = wanted;
  const bucket = bucketStream(stream);
  if (bucket !== undefined) return bucketCreation(nats, wanted, bucket, isLimited);
  const guess = `${stream.toLowerCase()}.>`;
  const own = subjects.length > 0 ? subjects : [guess];
  const words =
    markerSubjects === undefined
      ? ["stream", "add", stream, `--subjects=${own.join(",")}`, "--defaults"]
      : targetWords(stream, [...own, markerSubjects]);
  const command = natsCommand(nats, ...words, ...(isLimited ? ["--max-bytes=…"] : []));
  // A source reads whatever is there; a sink fails at the first subject that the stream does not take.
  return subjects.length > 0 || usedBy === "source"
    ? command
    : `${command} (in the place of ${guess} put the subjects of your records)`;
}

function bucketCreation(
  nats: NatsEnvironment,
  { stream, markerSubjects }: WantedStream,
  { kind, bucket, subjects: own }: BucketStream,
  isLimited: boolean,
): string {
  const add = natsCommand(nats, kind, "add", bucket, ...(isLimited ? ["--max-bucket-size=…"] : []));
  if (markerSubjects === undefined) return add;
  const subjects = `--subjects=${[...own, markerSubjects].join(",")}`;
  const flags = ["--allow-batch", "--allow-rollup", "--allow-msg-ttl", subjects, "--force"];
  return `${add} && ${natsCommand(nats, "stream", "edit", stream, ...flags)}`;
}

/** Words after `nats` that make a stream as an exactly-once sink needs it. */
function targetWords(stream: string, subjects: readonly string[]): string[] {
  return [
    ...["stream", "add", stream, `--subjects=${subjects.join(",")}`, "--storage=file"],
    ...["--retention=limits", "--allow-batch", "--allow-rollup", "--allow-msg-ttl", "--defaults"],
  ];
}
