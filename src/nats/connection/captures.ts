/** Streams of the account that capture our control subjects, as one sentence each with the command that mends it. */
import { shellCommand } from "../../shell-command.ts";
import type { NatsEnvironment } from "./environment.ts";

/** Short: a process does not wait for this before it starts to work. */
const ANSWER_TIMEOUT_MS = 2000;
const STREAMS_MAX = 10;

/**
 * The list is empty as well when JetStream does not answer, or this user may not list streams.
 *
 * Such a stream breaks nothing, because its acknowledgements are told from answers (P52). So it is said, not refused:
 * else the stream of another team could keep a cluster from starting again.
 * @param patterns subjects that processes send requests and frames on
 */
export async function describeCaptures(
  nats: NatsEnvironment,
  prefix: string,
  patterns: readonly string[],
): Promise<string[]> {
  const described: string[] = [];
  try {
    const manager = await nats.patientManager(ANSWER_TIMEOUT_MS);
    for await (const { config } of manager.streams.list(`${prefix}.>`)) {
      const { name, subjects = [] } = config;
      const captured = subjects.filter(
        (subject) => !isFeed(subject) && patterns.some((pattern) => overlaps(subject, pattern)),
      );
      if (captured.length === 0) continue;
      described.push(describe(name, captured, without(subjects, captured)));
      if (described.length === STREAMS_MAX) break;
    }
  } catch {
    // The process that answers a request in place of a peer is named when it does (control/wire.ts).
  }
  return described;
}

function describe(stream: string, captured: readonly string[], others: readonly string[]): string {
  const mend =
    others.length === 0
      ? `narrow its subjects (${shellCommand("nats", "stream", "edit", stream, "--subjects=…")}) or delete it (${shellCommand("nats", "stream", "rm", stream)})`
      : `take the subjects out of it (${shellCommand("nats", "stream", "edit", stream, `--subjects=${others.join(",")}`)})`;
  return (
    `stream ${stream} captures the control subjects of this cluster (${captured.map((one) => JSON.stringify(one)).join(", ")}): jobs run all ` +
    "the same, but it stores all that their processes say to each other, records included, and a process that is gone is " +
    `noticed only after heartbeat.timeout; ${mend}, or give every process of the cluster another --prefix`
  );
}

const without = (all: readonly string[], some: readonly string[]) => all.filter((one) => !some.includes(one));

/**
 * Storing event feeds does no harm. The pattern of a worker's own subject would match them, but no worker has this
 * name.
 */
const isFeed = (subject: string): boolean => subject.endsWith(".events");

/** Whether some subject matches both. */
function overlaps(one: string, other: string): boolean {
  const [left, right] = [one.split("."), other.split(".")];
  for (let i = 0; ; i++) {
    const [a, b] = [left[i], right[i]];
    if (a === undefined || b === undefined) return a === b;
    if (a === ">" || b === ">") return true;
    if (a !== b && a !== "*" && b !== "*") return false;
  }
}
