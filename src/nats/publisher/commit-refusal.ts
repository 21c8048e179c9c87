/** Why a stream takes no batch, in words: the limit, what the stored messages need, and the next step. */
import { CommitRefusedError } from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { NatsLink } from "../connection/link.ts";
import { natsCommand } from "../connection/nats-command.ts";
import { BATCH_HEADER_BYTES_MAX, BATCH_HEADER_BYTES_MIN, type BatchOutcome } from "./atomic-publisher.ts";
import { type MessageRange, MessageReader } from "./message-block.ts";
import { keepNewest } from "./sink-target.ts";

export interface RefusedBatch {
  readonly nats: NatsEnvironment;
  readonly stream: string;
  /** The messages beside the marker. undefined: the marker alone. */
  readonly messages: MessageRange | undefined;
  /** Messages in the largest part of the transaction, the marker included. */
  readonly largestPart: number;
  /** What the stream holds now; undefined: it was not told. */
  readonly held?: { readonly messages: number; readonly bytes: number } | undefined;
}

type Refusal = Extract<BatchOutcome, { kind: "full" | "refused" }>;

/** err_code values of the server (server/errors.json). */
const BATCH_TOO_LARGE = 10199;
const MESSAGE_TOO_LARGE = 10054;
/** Refused by the client itself: larger than the server's max_payload. */
const PAYLOAD_TOO_LARGE = 0;

/**
 * The refusal of a batch that holds a message which is too large. The server says of such a message in the middle of a
 * batch only that the batch is incomplete.
 *
 * @param messageBytesMax of the stream; not positive: no limit
 */
export function messageRefusal(batch: RefusedBatch, messageBytesMax: number): CommitRefusedError | undefined {
  if (messageBytesMax <= 0 || largestMessage(batch.messages) + BATCH_HEADER_BYTES_MIN <= messageBytesMax) {
    return undefined;
  }
  const description = `a message is larger than the stream's max_msg_size ${messageBytesMax}`;
  return commitRefusal(batch, { kind: "refused", code: MESSAGE_TOO_LARGE, description });
}

export function commitRefusal(batch: RefusedBatch, outcome: Refusal): CommitRefusedError {
  const { stream } = batch;
  return new CommitRefusedError(
    `stream ${stream} refuses a transaction: ${outcome.description}. ${mending(batch, outcome)}, then start the job ` +
      "again: it goes on where it stopped",
  );
}

function mending(batch: RefusedBatch, outcome: Refusal): string {
  const { nats, stream, largestPart, messages } = batch;
  const edit = (flag: string) => natsCommand(nats, "stream", "edit", stream, flag, "--force");
  if (outcome.kind === "full") return roomFor(batch, outcome.description);
  switch (outcome.code) {
    case BATCH_TOO_LARGE:
      return (
        `What is stored needs batches of ${largestPart} messages, and parts are never cut again. Raise the limit in the ` +
        `jetstream block of nats-server's configuration, limits { batch { max_msgs: ${largestPart} } } or more, and ` +
        "restart the server"
      );
    case MESSAGE_TOO_LARGE: {
      const bytes = largestMessage(messages) + BATCH_HEADER_BYTES_MAX;
      return `What is stored needs messages of ${bytes} bytes. Raise the limit (${edit(`--max-msg-size=${bytes}`)})`;
    }
    case PAYLOAD_TOO_LARGE: {
      const bytes = largestMessage(messages) + BATCH_HEADER_BYTES_MAX;
      return `What is stored needs messages of ${bytes} bytes, and ${NatsLink.of(nats.connection).payload.inWords(bytes)}`;
    }
    default:
      return `Mend the stream (${natsCommand(nats, "stream", "info", stream)})`;
  }
}

/**
 * The server says only in words which limit it is. The limits in the commands leave as much room again as is taken
 * then.
 */
function roomFor({ nats, stream, messages, held }: RefusedBatch, description: string): string {
  const edit = (flag: string, limit: number | undefined) =>
    natsCommand(nats, "stream", "edit", stream, `${flag}=${limit === undefined ? -1 : 2 * limit}`, "--force");
  const count = (messages?.messages ?? 0) + 1;
  const bytes = (messages === undefined ? 0 : messages.to - messages.from) + count * BATCH_HEADER_BYTES_MAX;
  const bytesThen = held && held.bytes + bytes;
  if (/per subject/.test(description)) {
    return `Its subjects are full (discard_new_per_subject): let it replace old messages (${keepNewest(nats, stream)}), or raise the limit (${edit("--max-msgs-per-subject", undefined)})`;
  }
  if (/maximum messages/.test(description)) {
    const limit = edit("--max-msgs", held && held.messages + count);
    return `Make room (messages needed: ${count}), or raise the limit (${limit})`;
  }
  if (/maximum bytes/.test(description)) {
    return `Make room (bytes needed: about ${bytes}), or raise the limit (${edit("--max-bytes", bytesThen)})`;
  }
  return `Make room, or raise the limits of stream and account (${edit("--max-bytes", bytesThen)}; nats account info)`;
}

/** Header lines and payload, in bytes. */
function largestMessage(range: MessageRange | undefined): number {
  let largest = 0;
  const reader = range && new MessageReader(range);
  while (reader?.next()) largest = Math.max(largest, reader.headersLength + reader.payloadLength);
  return largest;
}
