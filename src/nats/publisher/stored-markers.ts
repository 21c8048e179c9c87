/** The markers of all sinks that have written to a stream, as they lie there: for a look before a job begins. */
import type { StreamInfo } from "@nats-io/jetstream";
import { CommitRefusedError } from "../../errors.ts";
import { parseMarker, type TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { NatsLink } from "../connection/link.ts";

const READS_AT_ONCE = 32;

/** What is no marker is left out. @throws EnvironmentError, or what passes (`isPassing`) */
export async function storedMarkers(
  nats: NatsEnvironment,
  stream: string,
  markerSubjects: string,
): Promise<TransactionMarker[]> {
  const manager = await nats.manager();
  const link = NatsLink.of(nats.connection);
  const info: StreamInfo = await link.ask(`stream ${stream}`, () =>
    manager.streams.info(stream, { subjects_filter: markerSubjects }),
  );
  const subjects = Object.keys(info.state.subjects ?? {});
  const markers: TransactionMarker[] = [];
  const read = async (subject: string): Promise<void> => {
    const message = await link.ask(`marker ${subject} in stream ${stream}`, () =>
      manager.streams.getMessage(stream, { last_by_subj: subject }),
    );
    if (message !== null) markers.push(...markersIn(message.string(), subject));
  };
  for (let next = 0; next < subjects.length; next += READS_AT_ONCE)
    await Promise.all(subjects.slice(next, next + READS_AT_ONCE).map(read));
  return markers;
}

function markersIn(content: string, subject: string): TransactionMarker[] {
  try {
    return [parseMarker(content, subject, subject)];
  } catch (error) {
    if (error instanceof CommitRefusedError) return [];
    throw error;
  }
}
