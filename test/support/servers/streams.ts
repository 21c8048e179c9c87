/** Streams as tests fill and read them. */
import { AckPolicy, DeliverPolicy, jetstream, type StreamInfo } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";

export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** The time by the server's clock, in ms. */
  readonly storedAtMs: number;
  readonly text: string;
}

const PUBLISHED_AT_ONCE = 500;

/** Publishes in order; resolves when the server has acknowledged everything. */
export async function publishAll(
  nats: NatsEnvironment,
  messages: Iterable<{ readonly subject: string; readonly text: string }>,
): Promise<void> {
  const client = jetstream(nats.connection);
  let pending: Promise<unknown>[] = [];
  for (const { subject, text } of messages) {
    pending.push(client.publish(subject, text));
    if (pending.length < PUBLISHED_AT_ONCE) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

async function streamInfo(nats: NatsEnvironment, stream: string): Promise<StreamInfo> {
  return (await nats.manager()).streams.info(stream);
}

/** Everything in the stream now, in order. */
export async function readAll(nats: NatsEnvironment, stream: string): Promise<StoredMessage[]> {
  const { state } = await streamInfo(nats, stream);
  const found: StoredMessage[] = [];
  if (state.messages === 0) return found;
  await readFrom(nats, stream, 1, (message) => found.push(message), {
    isOver: () => (found.at(-1)?.sequence ?? 0) >= state.last_seq,
  });
  return found;
}

/**
 * Reads what is stored from `sequence` on, as it comes, and returns when `isOver` says so or when nothing has come for
 * a second: a caller that follows a stream calls again.
 */
export async function readFrom(
  nats: NatsEnvironment,
  stream: string,
  sequence: number,
  take: (message: StoredMessage) => void,
  options: { readonly isOver: () => boolean },
): Promise<void> {
  const manager = await nats.manager();
  const info = await manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: sequence,
    inactive_threshold: nanos(30_000),
    mem_storage: true,
  });
  try {
    const consumer = jetstream(nats.connection).consumers.getConsumerFromInfo(info);
    while (!options.isOver()) {
      let came = 0;
      const messages = await consumer.fetch({ max_messages: 500, expires: 1000 });
      for await (const message of messages) {
        came++;
        take({
          subject: message.subject,
          sequence: message.seq,
          storedAtMs: message.info.timestampNanos / 1e6,
          text: message.string(),
        });
        if (options.isOver()) return;
      }
      if (came === 0) return;
    }
  } finally {
    manager.consumers.delete(stream, info.name).catch(() => undefined);
  }
}
