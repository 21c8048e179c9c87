/**
 * What is wrong with a stream whose messages are to be read by partitions.
 *
 * - JT1 A message whose token is no partition matches no split. No split would miss it, so the source looks for such
 *   subjects: before the job begins, where they are a refusal, and while it runs, where they are a trouble.
 */
import { ConfigurationError, EnvironmentError } from "../../errors.ts";
import { filtersOverlap } from "../../formats/positions/subject-filter.ts";
import type { NatsEnvironment, StreamInfo } from "../../nats/connection/environment.ts";
import { NatsLink } from "../../nats/connection/link.ts";
import { natsCommand } from "../../nats/connection/nats-command.ts";
import { isPartition, placeIn, type SubjectPartitions, wildcardOf } from "./partitions.ts";

/** A destination of a subject transform: "{{partition(12,1)}}", in any spelling that the server takes. */
const PARTITION_OF_TRANSFORM = /^\{\{\s*partition\s*\(\s*(\d+)\s*(?:,[\d\s,]*)?\)\s*\}\}$/i;
const NAMED_MAX = 3;

/** @throws ConfigurationError, EnvironmentError where the stream's configuration contradicts the partitions */
export function checkPartitionedStream(
  partitions: SubjectPartitions,
  { config }: Pick<StreamInfo, "config">,
  warn: (message: string) => void,
): void {
  const named = `stream "${config.name}"`;
  if (config.retention === "interest")
    throw new EnvironmentError(
      `jetstreamSource: option "partitions": ${named} has interest retention, and drops a message that no partition reads before anyone can tell of it; use limits retention`,
    );
  const { subject, count } = partitions;
  for (const pattern of placesOf(config)) {
    const token = tokenAt(pattern, subject);
    if (token === undefined) continue;
    const made = PARTITION_OF_TRANSFORM.exec(token)?.[1];
    if (made === undefined) {
      if (token.includes("{{") || token === "*" || token === ">" || isPartition(token, count)) continue;
      throw contradiction(partitions, `${named} has the subjects "${pattern}", which are in none of them`);
    }
    if (Number(made) > count)
      throw contradiction(
        partitions,
        `${named} deals its messages to ${made} partitions ("${pattern}"), and those from ${count} on would never be read: write count: ${made}`,
      );
    if (Number(made) < count)
      warn(
        `${named} deals its messages to ${made} partitions ("${pattern}"), and the source has ${count}: nothing will come to those from ${made} on`,
      );
  }
}

/** Where messages are stored, by the stream's configuration: subjects, and the destinations of transforms. */
function placesOf(config: StreamInfo["config"]): string[] {
  const { subjects = [], subject_transform: own, sources = [], mirror } = config;
  const transforms = [...sources, ...(mirror === undefined ? [] : [mirror])].flatMap(
    ({ subject_transforms: some }) => some ?? [],
  );
  // What a transform of the stream's own stores is under its destination.
  if (own?.dest) return [own.dest];
  return [...subjects, ...transforms.flatMap(({ dest }) => (dest ? [dest] : []))];
}

/** The token that `pattern` has where messages have their partition; undefined: the source reads nothing of it. */
function tokenAt(pattern: string, subject: string): string | undefined {
  const tokens = pattern.split(".");
  const plain = tokens.map((token) => (token.includes("{{") ? "*" : token)).join(".");
  if (!filtersOverlap(plain, wildcardOf(subject))) return undefined;
  return tokens[placeIn(subject)] ?? ">";
}

/** Asks what the stream has under the subjects of the source that none of its partitions has. */
export class StraySubjects {
  readonly #partitions: SubjectPartitions;
  readonly #nats: NatsEnvironment;
  readonly #stream: string;
  /** Messages before it are none of the input. */
  readonly #start: number;

  constructor(partitions: SubjectPartitions, nats: NatsEnvironment, stream: string, start = 0) {
    this.#partitions = partitions;
    this.#nats = nats;
    this.#stream = stream;
    this.#start = start;
  }

  /** What is wrong, in words with the next step; undefined: nothing. @throws what the server answers */
  async problem(): Promise<string | undefined> {
    const { subject, count } = this.#partitions;
    const wildcard = wildcardOf(subject);
    const { state } = await this.#ask("list its subjects", (manager) =>
      manager.streams.info(this.#stream, { subjects_filter: wildcard }),
    );
    const place = placeIn(subject);
    const strays: string[] = [];
    for (const found of Object.keys(state.subjects ?? {}))
      if (!isPartition(found.split(".")[place] ?? "", count) && (await this.#isInput(found)))
        strays.push(found);
    const [first] = strays;
    if (first === undefined) return undefined;
    const named = strays
      .sort()
      .slice(0, NAMED_MAX)
      .map((stray) => `"${stray}"`)
      .join(", ");
    const further = strays.length > NAMED_MAX ? ` and ${strays.length - NAMED_MAX} further subjects` : "";
    const purge = natsCommand(this.#nats, "stream", "purge", this.#stream, `--subject=${first}`);
    return (
      `stream "${this.#stream}" has messages under ${named}${further}, which are in none of the partitions 0 to ${count - 1} ` +
      `of "${subject}": they are not read, and nothing of them is lost as long as the stream has them; raise count, ` +
      `mend what publishes them, or take them out (${purge})`
    );
  }

  async #isInput(subject: string): Promise<boolean> {
    if (this.#start <= 1) return true;
    const last = await this.#ask("read the last message of a subject", (manager) =>
      manager.streams.getMessage(this.#stream, { last_by_subj: subject }),
    );
    return last !== null && last.seq >= this.#start;
  }

  async #ask<R>(
    what: string,
    send: (manager: Awaited<ReturnType<NatsEnvironment["manager"]>>) => Promise<R>,
  ): Promise<R> {
    const manager = await this.#nats.manager();
    return await NatsLink.of(this.#nats.connection).call(`stream "${this.#stream}": ${what}`, () =>
      send(manager),
    );
  }
}

export function contradiction({ subject, count }: SubjectPartitions, problem: string): ConfigurationError {
  return new ConfigurationError(
    "jetstreamSource.partitions.count",
    `jetstreamSource: option "partitions": ${count} partitions of "${subject}": ${problem}`,
  );
}
