/** The events in a stream, for `--source jetstream`. */
import { jetstreamManager } from "@nats-io/jetstream";
import type { BenchCluster } from "../bench/processes/processes.ts";
import { type EventRange, eventsOf } from "./events.ts";
import type { NexmarkVariant } from "./jobs/variant.ts";

const NAME = "NEXMARK";
const PUBLISHED_PER_FLUSH = 4096;

/** Publishes the events as JSON, to so many subjects in turn. */
export async function fillStream(
  cluster: BenchCluster,
  range: EventRange,
  subjectCount: number,
): Promise<NonNullable<NexmarkVariant["stream"]>> {
  const { connection } = cluster;
  const subjects = Array.from({ length: subjectCount }, (_, i) => `nexmark.${i}`);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: NAME, subjects });
  let sent = 0;
  for (const event of eventsOf(range)) {
    connection.publish(subjects[sent % subjectCount]!, JSON.stringify(event));
    // Never more unsent than this, and the server's stream keeps up.
    if (++sent % PUBLISHED_PER_FLUSH === 0) await connection.flush();
  }
  await connection.flush();
  for (;;) {
    const { messages } = (await manager.streams.info(NAME)).state;
    if (messages === sent) return { name: NAME, subjects };
    if (messages > sent) throw new Error(`stream ${NAME} has ${messages} instead of ${sent} messages`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
