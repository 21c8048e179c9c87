/** Holds the output stream against counts that were made without the engine. */
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { COUNTS, type Input } from "./input.ts";
import type { WordCount } from "./job.ts";

export interface Outcome {
  /** Sum of the final counts in the output. */
  readonly words: number;
  readonly expected: number;
  /** Records that should be in the output and are not. */
  readonly lost: number;
  /** Records that are in the output more than once, or should not be there. */
  readonly duplicated: number;
  readonly top: readonly WordCount[];
}

/** A word is reported at each tenth occurrence, and once more at the end. */
export async function checkOutput(connection: NatsConnection, input: Input): Promise<Outcome> {
  const expected = new Set<string>();
  for (const [word, count] of input.counts) {
    for (let tenth = 10; tenth <= count; tenth += 10) expected.add(`${word} ${tenth}`);
    expected.add(`${word} ${count} final`);
  }
  const finals: WordCount[] = [];
  let duplicated = 0;
  await readOutput(connection, (record) => {
    const { word, count, final } = record;
    if (!expected.delete(`${word} ${count}${final ? " final" : ""}`)) duplicated++;
    else if (final) finals.push(record);
  });
  return {
    words: finals.reduce((sum, { count }) => sum + count, 0),
    expected: input.words,
    lost: expected.size,
    duplicated,
    top: finals.sort((a, b) => b.count - a.count).slice(0, 10),
  };
}

async function readOutput(connection: NatsConnection, onRecord: (record: WordCount) => void): Promise<void> {
  // No filter: a server looks filtered subjects up one by one when there are tens of thousands of them.
  const consumer = await jetstream(connection).consumers.get(COUNTS);
  let pending = (await consumer.info(true)).num_pending;
  if (pending === 0) return;
  let done: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const messages = await consumer.consume({
    max_messages: 5000,
    callback(message) {
      if (message.subject.startsWith("counts.")) onRecord(message.json<WordCount>());
      if (--pending === 0) done();
    },
  });
  await finished;
  messages.stop();
}

/** Calls for every committed output record from now on; answers how to stop. */
export async function watchOutput(connection: NatsConnection, onRecord: () => void): Promise<() => void> {
  const consumer = await jetstream(connection).consumers.get(COUNTS);
  const messages = await consumer.consume({
    max_messages: 5000,
    callback(message) {
      if (message.subject.startsWith("counts.")) onRecord();
    },
  });
  return () => void messages.stop();
}
