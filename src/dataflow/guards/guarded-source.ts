/**
 * A source as the engine calls it: what the members of its author's source and reader answer is looked at before it is
 * believed.
 *
 * Owns: the refusal of impossible answers and calls, by operator and member. Does not own: what the answers mean (the
 * subtask), the position of the record (runtime/worker/subtask/input/source.ts adds it to what is thrown from `poll`).
 *
 * - GS1 Only what `collect` is given while `poll` runs becomes a record; and what fails behind `collect` fails the
 *   subtask, whatever `poll` does with the error.
 * - GS2 A snapshot holds a position for each split that the reader was given, and it comes back as it was.
 */
import { ConfigurationError, OperatorError, TidemarkError } from "../../errors.ts";
import { describeOption, describeValue, silence } from "../../state/described.ts";
import { isCarried, isOrdinary, refusalIn, seemsCarried } from "../../state/plain-value.ts";
import type { ConnectorEnvironment, SubtaskEnvironment } from "../connector.ts";
import {
  type Collect,
  NO_TIMESTAMP,
  type PollStatus,
  type Skipped,
  type Source,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
} from "../source.ts";
import { describeNoTime, isTime } from "../time/times.ts";
import { isAnswer, refuseAnswer, wanted } from "./answers.ts";

const READER_MEMBERS = [
  "poll",
  "onAvailable",
  "describePosition",
  "snapshot",
  "checkpointCompleted",
  "close",
];

/**
 * The first answer of `snapshot` is looked at for what its objects hide, and then one in so many. That look takes a
 * third of the time for which records wait at a barrier, and a reader makes its positions in the same way each time.
 */
const LOOKED_AT_CLOSELY_EVERY = 16;

/** What `discover` has answered: splits that can be stored, each with an id of its own. */
export async function discoverSplits(
  operator: string,
  source: Source<unknown>,
  environment: ConnectorEnvironment,
): Promise<SourceSplit[]> {
  const splits: unknown = await source.discover(environment);
  const refuse = (problem: string): never => {
    silence(splits);
    throw new ConfigurationError(operator, `operator "${operator}": discover answered ${problem}`);
  };
  if (!Array.isArray(splits)) return refuse(`${describeValue(splits)}, and an array of splits is needed`);
  const ids = new Set<string>();
  for (const split of splits as readonly unknown[]) {
    const id: unknown = (split as { readonly id?: unknown } | null | undefined)?.id;
    if (typeof id !== "string" || id === "")
      refuse(`a split without id (${describeValue(split)}); give each one a text as its id`);
    if (ids.has(id as string)) refuse(`two splits with the id ${JSON.stringify(id)}; ids are unique`);
    ids.add(id as string);
    const { gaps } = split as SourceSplit;
    if (gaps !== undefined && gaps !== "fail" && gaps !== "skip")
      refuse(`a split whose gaps are ${describeOption(gaps)}; "fail" or "skip" is needed`);
    const problem = storageProblemOf(split);
    if (problem !== undefined)
      refuse(`split ${JSON.stringify(id)}, which cannot be stored as it is: ${problem}`);
  }
  return splits as SourceSplit[];
}

/** @throws OperatorError when `open` gives no reader */
export async function openReader(
  operator: string,
  source: Source<unknown>,
  environment: SubtaskEnvironment,
  splits: readonly SplitPosition[],
): Promise<SourceReader<unknown>> {
  const reader: unknown = await source.open(environment, splits);
  checkParts(operator, "open", reader, "reader", READER_MEMBERS);
  return new GuardedReader(operator, reader as SourceReader<unknown>, splits, environment.fail);
}

/** @throws OperatorError: the functions of `given` are not all there */
export function checkParts(
  operator: string,
  member: string,
  given: unknown,
  what: string,
  members: readonly string[],
): void {
  if (typeof given !== "object" || given === null)
    refuseAnswer(operator, `${member} answered`, given, `a ${what} with ${members.join(", ")}`);
  for (const name of members) {
    if (typeof (given as Readonly<Record<string, unknown>>)[name] === "function") continue;
    throw new OperatorError(
      operator,
      new Error(`the ${what} that ${member} answered has no function ${name}`),
    );
  }
}

/** Calls a member; what it throws is its operator's failure, unless it says itself whose it is. */
export function calling<T>(operator: string, member: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw failureOfMember(operator, member, error);
  }
}

export function failureOfMember(operator: string, member: string, error: unknown): unknown {
  if (error instanceof TidemarkError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new OperatorError(operator, new Error(`${member}: ${text}`, { cause: error }));
}

/**
 * Why msgpack would not store the value as it is; undefined: it would.
 *
 * @param hidden whether what an object hides is looked for, too (PV2)
 */
export function storageProblemOf(value: unknown, hidden = true): string | undefined {
  if ((hidden ? isCarried(value) : seemsCarried(value)) && isOrdinary(value)) return undefined;
  return (
    refusalIn(value) ??
    "it holds -0, half a surrogate pair, a hole, a Buffer or a name that JavaScript keeps for itself; write texts and numbers"
  );
}

function refuseUnlessNothing(operator: string, did: string, answer: unknown): void {
  if (answer !== undefined && !isAnswer(answer)) refuseAnswer(operator, did, answer, wanted.nothing);
}

class GuardedReader implements SourceReader<unknown> {
  readonly skipped?: () => Skipped;
  readonly splitStatus?: (split: number) => PollStatus;
  readonly pauseSplits?: (isPaused: (split: number) => boolean) => void;
  readonly splitPending?: (split: number) => number;
  readonly splitMayWait?: (split: number) => boolean;
  readonly #operator: string;
  readonly #reader: SourceReader<unknown>;
  readonly #ids: ReadonlySet<string>;
  readonly #fail: (error: unknown) => void;
  #target: Collect<unknown> = () => {};
  #polling = false;
  #goodSnapshots = 0;
  /** What failed behind `collect` during this poll. */
  #failure: { readonly error: unknown } | undefined;

  constructor(
    operator: string,
    reader: SourceReader<unknown>,
    splits: readonly SplitPosition[],
    fail: (error: unknown) => void,
  ) {
    this.#operator = operator;
    this.#reader = reader;
    this.#ids = new Set(splits.map(({ split }) => split.id));
    this.#fail = fail;
    if (reader.skipped !== undefined) this.skipped = () => this.#skipped();
    if (reader.pauseSplits !== undefined)
      this.pauseSplits = (isPaused) => calling(operator, "pauseSplits", () => reader.pauseSplits!(isPaused));
    if (reader.splitStatus !== undefined) this.splitStatus = (split) => this.#splitStatus(split);
    if (reader.splitPending !== undefined) this.splitPending = (split) => this.#splitPending(split);
    if (reader.splitMayWait !== undefined) this.splitMayWait = (split) => this.#splitMayWait(split);
  }

  get currentSplit(): number {
    const split = this.#reader.currentSplit ?? 0;
    if (!(split >= 0 && split < this.#ids.size)) this.#refuseSplit(split);
    return split;
  }

  poll(collect: Collect<unknown>, recordsMax: number): PollStatus {
    this.#target = collect;
    this.#polling = true;
    let status: unknown;
    try {
      status = this.#reader.poll(this.#collect, recordsMax);
    } finally {
      this.#polling = false;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (status !== "more" && status !== "idle" && status !== "ended")
      refuseAnswer(this.#operator, "poll answered", status, '"more", "idle" or "ended"');
    return status;
  }

  readonly #collect: Collect<unknown> = (value, timestamp) => {
    if (!this.#polling) this.#refuseLate();
    if (!isTime(timestamp) && timestamp !== NO_TIMESTAMP) this.#refuseTimestamp(timestamp);
    if (!isAnswer(value)) refuseAnswer(this.#operator, "collect was given", value);
    try {
      this.#target(value, timestamp);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  };

  onAvailable(wake: () => void): void {
    const answer: unknown = calling(this.#operator, "onAvailable", () => this.#reader.onAvailable(wake));
    refuseUnlessNothing(this.#operator, "onAvailable answered", answer);
  }

  describePosition(): string {
    try {
      const position: unknown = this.#reader.describePosition();
      if (typeof position === "string") return position;
      silence(position);
    } catch {
      // It is asked for while a failure is told, which must not be lost.
    }
    return "a position that its reader does not tell";
  }

  snapshot(): SplitPosition[] {
    const operator = this.#operator;
    const positions: unknown = calling(operator, "snapshot", () => this.#reader.snapshot());
    if (!Array.isArray(positions))
      refuseAnswer(operator, "snapshot answered", positions, "an array of { split, position }");
    const missing = new Set(this.#ids);
    for (const one of positions as readonly (Partial<SplitPosition> | undefined)[]) {
      const id: unknown = one?.split?.id;
      if (typeof id === "string" && missing.delete(id)) continue;
      this.#refuseSnapshot(
        typeof id !== "string"
          ? `${describeValue(one)}, which is no { split, position }`
          : this.#ids.has(id)
            ? `split ${JSON.stringify(id)} twice`
            : `split ${JSON.stringify(id)}, which this reader was not given`,
      );
    }
    for (const id of missing)
      this.#refuseSnapshot(`no position of split ${JSON.stringify(id)}, which would not be read any more`);
    const problem = storageProblemOf(positions, this.#goodSnapshots % LOOKED_AT_CLOSELY_EVERY === 0);
    if (problem !== undefined) this.#refuseSnapshot(`what cannot be stored as it is: ${problem}`);
    this.#goodSnapshots++;
    return positions as SplitPosition[];
  }

  checkpointCompleted(positions: readonly SplitPosition[]): void {
    const answer: unknown = calling(this.#operator, "checkpointCompleted", () =>
      this.#reader.checkpointCompleted(positions),
    );
    refuseUnlessNothing(this.#operator, "checkpointCompleted answered", answer);
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  #skipped(): Skipped {
    const skipped: unknown = calling(this.#operator, "skipped", () => this.#reader.skipped!());
    const { ranges, sequences } = (skipped ?? {}) as Partial<Skipped>;
    if (!Number.isSafeInteger(ranges) || !Number.isSafeInteger(sequences))
      refuseAnswer(this.#operator, "skipped answered", skipped, "{ ranges, sequences }, two whole numbers,");
    return skipped as Skipped;
  }

  #splitStatus(split: number): PollStatus {
    const status: unknown = calling(this.#operator, "splitStatus", () => this.#reader.splitStatus!(split));
    if (status !== "more" && status !== "idle" && status !== "ended")
      refuseAnswer(this.#operator, "splitStatus answered", status, '"more", "idle" or "ended"');
    return status;
  }

  #splitPending(split: number): number {
    const pending: unknown = calling(this.#operator, "splitPending", () => this.#reader.splitPending!(split));
    if (!(typeof pending === "number" && pending >= 0))
      refuseAnswer(this.#operator, "splitPending answered", pending, "a number of records, 0 or more,");
    return pending;
  }

  #splitMayWait(split: number): boolean {
    const mayWait: unknown = calling(this.#operator, "splitMayWait", () => this.#reader.splitMayWait!(split));
    if (typeof mayWait !== "boolean")
      refuseAnswer(this.#operator, "splitMayWait answered", mayWait, "true or false");
    return mayWait;
  }

  #refuseSplit(split: unknown): never {
    throw new OperatorError(
      this.#operator,
      new Error(
        `currentSplit is ${describeOption(split)}; it is an index into the ${this.#ids.size} splits that open was given`,
      ),
    );
  }

  #refuseSnapshot(problem: string): never {
    throw new OperatorError(this.#operator, new Error(`snapshot answered ${problem}`));
  }

  #refuseTimestamp(timestamp: unknown): never {
    throw new OperatorError(
      this.#operator,
      new Error(
        `collect was given as timestamp ${describeNoTime(timestamp)}, or NO_TIMESTAMP where none is known`,
      ),
    );
  }

  /** What waits calls from where an error may be lost: so the subtask is told, too. */
  #refuseLate(): never {
    const error = new OperatorError(
      this.#operator,
      new Error(
        "collect was called while poll was not running; keep what arrives in between, call the function that onAvailable " +
          "was given, and collect it in poll",
      ),
      this.describePosition(),
    );
    this.#fail(error);
    throw error;
  }
}
