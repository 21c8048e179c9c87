/**
 * The source of core NATS subjects: messages that no stream keeps.
 *
 * Owns: what is kept of messages until the job takes them, and what is said of those that were not kept.
 *
 * - XN1 Nothing can be read again: what came while no subtask was subscribed, and what was taken behind the last
 *   completed checkpoint before a failure, is gone. The source says so by `replayable: false`, and the job when it
 *   starts.
 * - XN2 The publisher is not slowed: what comes while as much waits as may wait is dropped, counted and told of.
 */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { SubtaskEnvironment } from "../../dataflow/connector.ts";
import {
  type Collect,
  NO_TIMESTAMP,
  type PollStatus,
  type Source,
  type SourceReader,
  type SplitPosition,
} from "../../dataflow/source.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { ConfigurationError, OperatorError } from "../../errors.ts";
import { parseIndexed } from "../../formats/positions/indexed-split.ts";
import { isSubjectFilter } from "../../formats/positions/subject-filter.ts";
import { denialIn } from "../../nats/connection/denials.ts";
import { NatsEnvironment } from "../../nats/connection/environment.ts";
import { type Decode, type Decoder, decodeMessage, type ParsedMessage } from "../../nats/reader/decoding.ts";
import { FilterSet } from "../../nats/reader/subject-filter.ts";

/** The options of `natsSource`, besides `decode`. */
export interface NatsSourceOptions {
  /** Subjects, with wildcards. Each entry is a split, which one subtask reads. They must not overlap. */
  readonly subjects: string | readonly string[];
  /** A queue group, with which the messages are shared: another member that is subscribed gets some of them. */
  readonly queue?: string;
  /** Messages that may wait in a subtask until the job takes them; more are dropped. Default 65536. */
  readonly waitingMax?: number;
}

const OPTIONS = ["subjects", "queue", "waitingMax", "decode"];
const WAITING_MAX = 65_536;

/** Records are parsed by JSON.parse; T is what you know them to be. The default of `decode`. */
export function natsSource<T = unknown>(options: NatsSourceOptions & { readonly decode?: "json" }): Source<T>;
/** Records are UTF-8 text. */
export function natsSource(options: NatsSourceOptions & { readonly decode: "text" }): Source<string>;
/** Records are copies of the payloads. */
export function natsSource(options: NatsSourceOptions & { readonly decode: "bytes" }): Source<Uint8Array>;
/** Records are what `decode` returns for (data, subject). `data` is a view: copy what is to be kept of it. */
export function natsSource<T>(options: NatsSourceOptions & { readonly decode: Decoder<T> }): Source<T>;
/**
 * Reads subjects of core NATS. It cannot read anything again, so a job with it is never exactly-once from end to end: a
 * failure loses what was read since the last completed checkpoint, and what is published before the job is back. Put a
 * stream on the subjects and read it with `jetstreamSource` where that matters.
 *
 * @throws ConfigurationError naming the option
 */
export function natsSource<T>(options: NatsSourceOptions & { readonly decode?: Decode<T> }): Source<T> {
  const { subjects, queue, waitingMax, decode } = checked(options);
  return {
    kind: "nats",
    replayable: false,
    bounded: false,
    timestamps: false,
    async discover(environment) {
      NatsEnvironment.of(environment, "the NATS source");
      return subjects.map((subject, index) => ({ id: subject, index, input: `subject ${subject}` }));
    },
    async open(environment, splits) {
      const { connection } = NatsEnvironment.of(environment, "the NATS source");
      const reader = new NatsReader<T>(decodeMessage(decode), waitingMax, splits, environment);
      const queueGroup = queue === undefined ? {} : { queue };
      for (const [
        split,
        {
          split: { id },
        },
      ] of splits.entries())
        reader.subscribed(
          connection.subscribe(id, {
            ...queueGroup,
            callback: (error, message) => {
              if (error) reader.failed(id, error);
              else reader.came(split, message);
            },
          }),
        );
      // The server knows of the subscriptions before the subtask tells that it is open.
      await connection.flush();
      return reader;
    },
  };
}

interface CheckedOptions<T> {
  readonly subjects: readonly string[];
  readonly queue: string | undefined;
  readonly waitingMax: number;
  readonly decode: Decode<T>;
}

function checked<T>(options: NatsSourceOptions & { readonly decode?: Decode<T> }): CheckedOptions<T> {
  checkMembers(options, OPTIONS, "natsSource", "option");
  const { queue, waitingMax = WAITING_MAX, decode = "json" } = options;
  const subjects = typeof options.subjects === "string" ? [options.subjects] : options.subjects;
  if (!Array.isArray(subjects) || subjects.length === 0)
    throw wrong(
      "subjects",
      `must name at least one subject, such as "orders.>", got ${show(options.subjects)}`,
    );
  const seen = new FilterSet();
  for (const subject of subjects) {
    if (typeof subject !== "string" || !isSubjectFilter(subject))
      throw wrong("subjects", `${show(subject)} is not a subject such as "orders.eu.>"`);
    const other = seen.overlapping(subject);
    if (other !== undefined)
      throw wrong("subjects", `"${other}" and "${subject}" overlap: records would be read twice`);
    seen.add(subject);
  }
  if (queue !== undefined && (typeof queue !== "string" || !/^[^\s]+$/.test(queue)))
    throw wrong("queue", `must be the name of a queue group, without spaces, got ${show(queue)}`);
  if (!Number.isSafeInteger(waitingMax) || waitingMax < 1)
    throw wrong("waitingMax", `must be a whole number from 1 on, got ${show(waitingMax)}`);
  if (typeof decode !== "function" && !["text", "json", "bytes"].includes(String(decode)))
    throw wrong("decode", `must be "text", "json", "bytes" or a function (data, subject) => value`);
  return { subjects, queue, waitingMax, decode };
}

function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(`natsSource.${option}`, `natsSource: option "${option}": ${problem}`);
}

interface Subscription {
  unsubscribe(): void;
}

/** Stands in the place of a message that could not be decoded, so that what came before it is read first. */
class Undecoded {
  readonly error: OperatorError;

  constructor(error: OperatorError) {
    this.error = error;
  }
}

/** What waits of one subject, from `first` on. */
interface Queue<T> {
  readonly split: SplitPosition["split"];
  /** Messages taken since the job began. */
  taken: number;
  readonly values: (T | Undecoded)[];
  first: number;
}

/** So many places of messages that were taken are freed together. */
const FREED_TOGETHER = 4096;

class NatsReader<T> implements SourceReader<T> {
  currentSplit = 0;
  readonly #decode: (message: ParsedMessage) => T;
  readonly #waitingMax: number;
  readonly #environment: SubtaskEnvironment;
  readonly #queues: readonly Queue<T>[];
  readonly #dropping: TroubleWatch;
  readonly #subscriptions: Subscription[] = [];
  #waiting = 0;
  #dropped = 0;
  #isPaused: (split: number) => boolean = () => false;
  #wake: () => void = () => {};
  #last = "the beginning";

  constructor(
    decode: (message: ParsedMessage) => T,
    waitingMax: number,
    splits: readonly SplitPosition[],
    environment: SubtaskEnvironment,
  ) {
    this.#decode = decode;
    this.#waitingMax = waitingMax;
    this.#environment = environment;
    this.#queues = splits.map((found) => {
      const { split, position = 0 } = parseIndexed(found, environment.operator);
      return { split, taken: position, values: [], first: 0 };
    });
    this.#dropping = environment.troubles.watch(`taking all messages for source ${environment.operator}`);
  }

  subscribed(subscription: Subscription): void {
    this.#subscriptions.push(subscription);
  }

  came(split: number, message: ParsedMessage): void {
    if (this.#waiting >= this.#waitingMax) {
      this.#drop();
      return;
    }
    this.#queues[split]!.values.push(this.#decoded(message));
    this.#waiting += 1;
    if (this.#waiting === 1) this.#wake();
  }

  failed(subject: string, error: Error): void {
    this.#environment.fail(
      denialIn(error, `reading source ${this.#environment.operator} from ${subject}`) ?? error,
    );
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    let left = recordsMax;
    let isMore = false;
    for (const [index, queue] of this.#queues.entries()) {
      if (this.#isPaused(index)) continue;
      const end = Math.min(queue.values.length, queue.first + left);
      left -= end - queue.first;
      this.currentSplit = index;
      while (queue.first < end) this.#give(queue, collect);
      if (queue.first < queue.values.length) isMore = true;
      else this.#free(queue);
      if (queue.first >= FREED_TOGETHER) this.#free(queue);
    }
    if (this.#dropped > 0 && this.#waiting < this.#waitingMax / 2) this.#takesAllAgain();
    return isMore ? "more" : "idle";
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  splitStatus(split: number): PollStatus {
    const { values, first } = this.#queues[split]!;
    return first < values.length ? "more" : "idle";
  }

  pauseSplits(isPaused: (split: number) => boolean): void {
    this.#isPaused = isPaused;
  }

  /** It would lose what comes meanwhile. */
  splitMayWait(): boolean {
    return false;
  }

  describePosition(): string {
    return this.#last;
  }

  snapshot(): SplitPosition[] {
    return this.#queues.map(({ split, taken }) => ({ split, position: taken }));
  }

  checkpointCompleted(): void {}

  async close(): Promise<void> {
    this.#dropping.forget();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #give(queue: Queue<T>, collect: Collect<T>): void {
    const value = queue.values[queue.first] as T | Undecoded;
    queue.values[queue.first] = undefined as T;
    queue.first += 1;
    queue.taken += 1;
    this.#waiting -= 1;
    this.#last = `message ${queue.taken} of subject ${queue.split.id}`;
    if (value instanceof Undecoded) throw value.error.at(this.#last);
    collect(value, NO_TIMESTAMP);
  }

  #free(queue: Queue<T>): void {
    queue.values.splice(0, queue.first);
    queue.first = 0;
  }

  #decoded(message: ParsedMessage): T | Undecoded {
    try {
      return this.#decode(message);
    } catch (cause) {
      return new Undecoded(new OperatorError(this.#environment.operator, cause));
    }
  }

  #drop(): void {
    this.#dropped += 1;
    // Once, and then often enough to last as a trouble.
    if (this.#dropped > 1 && this.#dropped % 1_000 !== 0) return;
    const { operator, logger } = this.#environment;
    const reason = `more messages come than the job takes: ${this.#waitingMax} wait, and others are dropped`;
    this.#dropping.failed(new Error(reason));
    if (this.#dropped === 1) logger.warn({ operator }, `source ${operator}: ${reason}`);
  }

  #takesAllAgain(): void {
    const { operator, logger } = this.#environment;
    const said = `source ${operator} takes all messages again; ${this.#dropped} were dropped`;
    logger.warn({ operator, dropped: this.#dropped }, said);
    this.#dropping.passed();
    this.#dropped = 0;
  }
}
