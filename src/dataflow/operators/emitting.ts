/**
 * The outputs in the hands of a user's function that emits while it runs.
 *
 * Owns: OP3 of contract.ts for such functions, which stand between their caller and what is downstream. Does not own:
 * state and keys (keyed/record-context.ts), where records go.
 */
import { OperatorError } from "../../errors.ts";
import { describeValue } from "../../state/described.ts";
import type { Key } from "../../state/descriptor.ts";
import type { KeyedState } from "../../state/keyed-state.ts";
import { isAnswer, refuseAnswer, wanted } from "../guards/answers.ts";
import { type Collect, NO_TIMESTAMP } from "../source.ts";
import { describeNoTime, isTime } from "../time/times.ts";
import type { Outputs } from "./contract.ts";
import { failureAtKey, failureOf } from "./failure.ts";
import type { Resource } from "./lifecycle.ts";

/** "idle": no function is running; "running": inside the user's function; "emitting": inside what is downstream. */
type Stage = "idle" | "running" | "emitting";

/** The key that a function has in its hands. */
export interface KeyInHands {
  readonly key: Key;
  readonly state: Pick<KeyedState, "maxParallelism">;
}

/** What a function has besides its main output. */
export interface Surroundings {
  /** The tags of the side outputs. Default: none. */
  readonly tags?: readonly string[] | undefined;
  /** What the user's `open` has made. */
  readonly resource?: Resource | undefined;
  /** The handles of broadcast state. Default: the operator has none. */
  readonly broadcast?: Readonly<Record<string, unknown>> | undefined;
}

/** The part of a context that emits. There is one for each operator of a subtask, used again for every call. */
export class EmittingContext {
  timestamp: number = NO_TIMESTAMP;
  readonly emit: (value: unknown, timestamp?: number) => void;
  readonly sideOutput: (tag: string, value: unknown) => void;
  readonly broadcast: Readonly<Record<string, unknown>> | undefined;
  protected readonly operator: string;
  private readonly opened: Resource | undefined;
  private stage: Stage = "idle";

  constructor(operator: string, outputs: Outputs, { tags = [], resource, broadcast }: Surroundings) {
    this.operator = operator;
    this.opened = resource;
    this.broadcast = broadcast;
    const { main } = outputs;
    this.emit = (value, timestamp) => {
      if (this.stage !== "running") this.refuseCall("emit");
      if (!isAnswer(value)) refuseAnswer(operator, "emit was given", value);
      if (timestamp !== undefined && !isTimestamp(timestamp)) refuseTimestamp(operator, timestamp);
      this.stage = "emitting";
      main(value, timestamp ?? this.timestamp);
      this.stage = "running";
    };
    const sides = new Map<string, Collect<unknown>>(tags.map((tag) => [tag, outputs.tagged(tag)]));
    this.sideOutput = (tag, value) => {
      if (this.stage !== "running") this.refuseCall("sideOutput");
      const side = sides.get(tag) ?? refuseTag(operator, tag, tags);
      if (!isAnswer(value)) refuseAnswer(operator, `sideOutput "${tag}" was given`, value);
      this.stage = "emitting";
      side(value, this.timestamp);
      this.stage = "running";
    };
  }

  get resource(): unknown {
    return this.opened?.value;
  }

  /** A function is running and has not emitted to an output that failed. */
  protected get isRunning(): boolean {
    return this.stage === "running";
  }

  /** Called in front of the user's function. */
  protected beginAt(timestamp: number): void {
    this.timestamp = timestamp;
    this.stage = "running";
  }

  /** `result`: what the user's function returned. */
  finish(result: unknown): void {
    if (this.stage !== "running" || result !== undefined) this.refuseReturn(result);
    this.stage = "idle";
  }

  /** `result`: what a function returned that was called within another one. */
  checkReturned(result: unknown): void {
    if (this.stage !== "running" || result !== undefined) this.refuseReturn(result);
  }

  failureOf(error: unknown): unknown {
    const { stage, keyed } = this;
    this.stage = "idle";
    if (stage === "emitting") return error;
    if (keyed === undefined || stage === "idle") return failureOf(this.operator, error, this.statesInUse);
    return failureAtKey(this.operator, error, keyed.state, keyed.key, this.statesInUse);
  }

  /** What the running function has a key of. Default: there is none. */
  protected get keyed(): KeyInHands | undefined {
    return undefined;
  }

  /** The states that the function has had in its hands, for the message of a failure. */
  protected get statesInUse(): readonly string[] {
    return [];
  }

  protected refuseCall(what: string): never {
    throw new OperatorError(
      this.operator,
      this.stage === "idle"
        ? new Error(`${what} was called after the record was processed; operators are synchronous`)
        : new Error(`${what} was called again after an output had failed`),
    );
  }

  private refuseReturn(result: unknown): void {
    if (this.stage === "emitting") {
      throw new OperatorError(
        this.operator,
        new Error("the function caught an error of emit; a record that failed downstream must fail the job"),
      );
    }
    if (!isAnswer(result)) refuseAnswer(this.operator, "the function answered", result, wanted.nothing);
  }
}

function isTimestamp(timestamp: number): boolean {
  return isTime(timestamp) || timestamp === Number.POSITIVE_INFINITY || timestamp === NO_TIMESTAMP;
}

function refuseTimestamp(operator: string, timestamp: unknown): never {
  throw new OperatorError(
    operator,
    new Error(`emit was given as timestamp ${describeNoTime(timestamp)}, or NO_TIMESTAMP`),
  );
}

function refuseTag(operator: string, tag: unknown, tags: readonly string[]): never {
  const declared = tags.length === 0 ? "none is declared (sideOutputs)" : `declared: ${tags.join(", ")}`;
  const named = typeof tag === "string" ? `"${tag}"` : describeValue(tag);
  throw new OperatorError(operator, new Error(`it has no side output ${named}; ${declared}`));
}
