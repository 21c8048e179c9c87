/**
 * A sink as the engine calls it: what the members of its author's sink and writer answer is looked at before it is
 * believed.
 *
 * Owns: the refusal of impossible answers, by operator and member. Does not own: when a member is called
 * (machines/worker/subtask.ts), what `write` answers (chain.ts, which knows the record).
 *
 * - GK1 What must be waited for is a promise that comes to nothing: a `commit` that answers at once, or answers false,
 *   would be taken for done.
 * - GK2 A committable and the state of a writer come back as they were.
 */
import type { ObjectHandle } from "../../checkpoint/storage.ts";
import { CommitRefusedError, ConfigurationError, OperatorError } from "../../errors.ts";
import { describeOption, describeValue, isThenable, silence } from "../../state/described.ts";
import type { ConnectorEnvironment } from "../connector.ts";
import type { Room } from "../room.ts";
import type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  Sink,
  SinkEnvironment,
  SinkWriter,
} from "../sink.ts";
import { isAnswer, refuseAnswer, wanted } from "./answers.ts";
import { calling, checkParts, failureOfMember, storageProblemOf } from "./guarded-source.ts";

const PROMISE = "a promise";
const NOTHING_WHEN_DONE = `${wanted.nothing} (an error when it has failed)`;

const WRITER_MEMBERS = ["write", "blocked", "onAvailable", "cut", "snapshot", "commit", "flush", "close"];

/** @throws ConfigurationError when `check` answers anything, which its author may mean as a refusal */
export async function checkSink(
  operator: string,
  sink: Sink<unknown>,
  environment: ConnectorEnvironment,
): Promise<void> {
  const answer: unknown = await sink.check(environment);
  if (answer === undefined) return;
  silence(answer);
  throw new ConfigurationError(
    operator,
    `operator "${operator}": check answered ${describeValue(answer)}, and no answer is needed; throw what is wrong`,
  );
}

/** A writer as its subtask uses it: it has room when its author's says that it is not blocked. */
export interface OpenWriter extends Omit<SinkWriter<unknown>, "blocked" | "onAvailable" | "keep">, Room {
  keep(): Promise<void>;
}

/** @throws OperatorError when `open` gives no writer */
export async function openWriter(
  operator: string,
  sink: Sink<unknown>,
  environment: SinkEnvironment,
): Promise<OpenWriter> {
  const writer: unknown = await sink.open(environment);
  checkParts(operator, "open", writer, "writer", WRITER_MEMBERS);
  return new GuardedWriter(operator, environment.subtaskIndex, writer as SinkWriter<unknown>);
}

class GuardedWriter implements OpenWriter {
  /** The chain looks at what it answers. */
  readonly write: SinkWriter<unknown>["write"];
  readonly #operator: string;
  readonly #index: number;
  readonly #writer: SinkWriter<unknown>;

  constructor(operator: string, index: number, writer: SinkWriter<unknown>) {
    this.#operator = operator;
    this.#index = index;
    this.#writer = writer;
    this.write = (value, timestamp) => writer.write(value, timestamp);
  }

  hasRoom(): boolean {
    const blocked: unknown = this.#writer.blocked();
    if (blocked !== true && blocked !== false)
      refuseAnswer(this.#operator, "blocked answered", blocked, wanted.boolean);
    return !blocked;
  }

  onRoom(wake: () => void): void {
    const answer: unknown = calling(this.#operator, "onAvailable", () => this.#writer.onAvailable(wake));
    if (answer !== undefined && !isAnswer(answer))
      refuseAnswer(this.#operator, "onAvailable answered", answer, wanted.nothing);
  }

  cut(checkpointId: number): PreparingTransaction | undefined {
    const operator = this.#operator;
    const preparing: unknown = calling(operator, "cut", () => this.#writer.cut(checkpointId));
    if (preparing === undefined) return undefined;
    checkParts(operator, "cut", preparing, "transaction", ["prepared"]);
    const transaction = preparing as PreparingTransaction;
    this.#checkId("cut", "checkpointId", transaction.checkpointId, checkpointId);
    return { checkpointId, prepared: () => this.#prepared(transaction) };
  }

  snapshot(): unknown {
    const state = calling(this.#operator, "snapshot", () => this.#writer.snapshot());
    this.#checkStored("snapshot", state);
    return state;
  }

  /** An answer that is refused is no passing failure: it must not be tried again for ever. */
  async commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void> {
    const promise: unknown = calling(this.#operator, "commit", () =>
      this.#writer.commit(transaction, inheritedFrom),
    );
    if (!isThenable(promise)) this.#refuseCommit(promise, PROMISE);
    const answer: unknown = await promise;
    if (answer !== undefined) this.#refuseCommit(answer, NOTHING_WHEN_DONE);
  }

  async flush(): Promise<void> {
    const answer = await this.#waitedFor("flush", () => this.#writer.flush());
    if (answer !== undefined) refuseAnswer(this.#operator, "flush answered", answer, NOTHING_WHEN_DONE);
  }

  async keep(): Promise<void> {
    if (this.#writer.keep === undefined) return;
    const answer = await this.#waitedFor("keep", () => this.#writer.keep?.());
    if (answer !== undefined) refuseAnswer(this.#operator, "keep answered", answer, NOTHING_WHEN_DONE);
  }

  async close(): Promise<void> {
    await this.#writer.close();
  }

  async #prepared(transaction: PreparingTransaction): Promise<Committable> {
    const answer: unknown = await this.#waitedFor("prepared", () => transaction.prepared());
    if (typeof answer !== "object" || answer === null)
      refuseAnswer(this.#operator, "prepared answered", answer, "a committable");
    const { checkpointId, writer, staged } = answer as Partial<Committable>;
    this.#checkId("prepared", "checkpointId", checkpointId, transaction.checkpointId);
    this.#checkId("prepared", "writer", writer, this.#index);
    if (!Array.isArray(staged) || !staged.every(isHandle))
      refuseAnswer(
        this.#operator,
        "prepared answered with staged:",
        staged,
        "an array of what staging.put gave",
      );
    this.#checkStored("prepared", answer);
    return answer as Committable;
  }

  async #waitedFor(member: string, call: () => unknown): Promise<unknown> {
    try {
      const promise = call();
      if (!isThenable(promise)) refuseAnswer(this.#operator, `${member} answered`, promise, PROMISE);
      return await promise;
    } catch (error) {
      throw failureOfMember(this.#operator, member, error);
    }
  }

  #refuseCommit(answer: unknown, needed: string): never {
    silence(answer);
    throw new CommitRefusedError(
      `operator "${this.#operator}": commit answered ${describeValue(answer)}, and ${needed} is needed`,
    );
  }

  #checkId(member: string, field: string, given: unknown, needed: number): void {
    if (given === needed) return;
    throw new OperatorError(
      this.#operator,
      new Error(`${member} answered with ${field}: ${describeOption(given)}, and ${needed} is needed`),
    );
  }

  #checkStored(member: string, value: unknown): void {
    const problem = storageProblemOf(value);
    if (problem === undefined) return;
    silence(value);
    throw new OperatorError(
      this.#operator,
      new Error(`${member} answered what cannot be stored as it is: ${problem}`),
    );
  }
}

function isHandle(given: unknown): given is ObjectHandle {
  return typeof given === "object" && given !== null;
}
