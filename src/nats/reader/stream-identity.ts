/** Whether a stream is still the one a job has read, and still has what comes next (P32). */
import type { StreamInfo } from "@nats-io/jetstream";
import { SourcePositionError } from "../../errors.ts";

interface ReadSoFar {
  readonly stream: string;
  /** `created` of the stream at discovery. */
  readonly created: string;
  /** Last sequence that needs no reading any more. */
  readonly received: number;
  /** Last sequence of a bounded input. */
  readonly end: number | undefined;
  /** false: nothing was read and nothing is missed if the stream begins later. */
  readonly resumed: boolean;
}

const START_OVER = "start the job afresh, or from a savepoint that fits";

export function positionProblem(read: ReadSoFar, info: StreamInfo): SourcePositionError | undefined {
  const { stream, created, received, end } = read;
  const { first_seq: first, last_seq: last } = info.state;
  if (info.created !== created) {
    return new SourcePositionError(
      `stream "${stream}" is not the one the job has read: this one was created at ${info.created}, the job's at ${created}; ${START_OVER}`,
    );
  }
  const seen = Math.max(received, end ?? 0);
  if (last < seen) {
    return new SourcePositionError(
      `stream "${stream}" ends at sequence ${last}, but the job knows it up to sequence ${seen}: it was set back to an older copy; restore the stream, or ${START_OVER}`,
    );
  }
  // What nobody is interested in leaves an interest stream at once; the progress consumer keeps what is ours.
  if (read.resumed && first > received + 1 && info.config.retention !== "interest") {
    return new SourcePositionError(
      `stream "${stream}" begins at sequence ${first}, but the job goes on at sequence ${received + 1}: what lies between was trimmed or purged before it was read; raise the stream's limits, and ${START_OVER}`,
    );
  }
  return undefined;
}

export function missingStream(stream: string, received: number, cause: unknown): SourcePositionError {
  return new SourcePositionError(
    `stream "${stream}" does not exist any more; the job has read it up to sequence ${received}: restore the stream, or ${START_OVER}`,
    { cause },
  );
}
