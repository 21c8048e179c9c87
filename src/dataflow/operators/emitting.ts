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
import type { OperatorDetails, Outputs } from "./contract.ts";
import { failureAtKey, failureOf } from "./failure.ts";
import type { Resource } from "./lifecycle.ts";

/** "idle": no function is running; "running": inside the user's function; "emitting": inside what is downstream. */
type Stage = "idle" | "running" | "emitting";

/** The key that a function has in its hands. */
export interface KeyInHands {
  readonly key: Key;
  readonly state: Pick<KeyedState, "maxParallelism">;
}

/** What the author of functions promises of all that they emit: it has a timestamp. Default: nothing. */
export type RequiredTimestamps = "required";

/** @param without the functions that are called when no record with a timestamp is in hand, in words */
export function leavingTimestamps(
  promised: RequiredTimestamps | undefined,
  without: readonly string[],
): Pick<OperatorDetails, "timestamps"> {
  if (promised !== undefined) return { timestamps: "all" };
  if (without.length === 0) return {};
  return {
    timestamps: {
      missing: `what is emitted by ${without.join(", ")}`,
      remedy:
        'let it emit each with one (emit(value, timestamp), or by timers of event time) and say timestamps: "required" there',
    },
  };
}

/** What a function has besides its main output. */
export interface Surroundings {
  /** The tags of the side outputs. Default: none. */
  readonly tags?: readonly string[] | undefined;
  /** What the user's `open` has made. */
  readonly resource?: Resource | undefined;
  /** The handles of broadcast state. Default: the operator has none. */
  readonly broadcast?: Readonly<Record<string, unknown>> | undefined;
  /** What is emitted without a timestamp is refused. Default: it is not. */
  readonly timestamps?: RequiredTimestamps | undefined;
}

/** The part of a context that emits. There is one for each operator of a subtask, used again for every call. */
export class EmittingContext {
  timestamp: number = NO_TIMESTAMP;
  readonly emit: (value: unknown, timestamp?: number) => void;
  readonly sideOutput: (tag: string, value: unknown, timestamp?: number) => void;
  readonly broadcast: Readonly<Record<string, unknown>> | undefined;
  protected readonly operator: string;
  private readonly opened: Resource | undefined;
  private stage: Stage = "idle";

  constructor(operator: string, outputs: Outputs, surroundings: Surroundings) {
    const { tags = [], resource, broadcast, timestamps } = surroundings;
    this.operator = operator;
    this.opened = resource;
    this.broadcast = broadcast;
    const isRequired = timestamps === "required";
    const { main } = outputs;
    this.emit = (value, timestamp = this.timestamp) => {
      if (this.stage !== "running") this.refuseCall("emit");
      if (!isAnswer(value)) refuseAnswer(operator, "emit was given", value);
      if (timestamp !== this.timestamp && !isTimestamp(timestamp))
        refuseTimestamp(operator, "emit", timestamp);
      if (isRequired && timestamp === NO_TIMESTAMP) refuseMissing(operator, "emit(value, timestamp)");
      this.stage = "emitting";
      main(value, timestamp);
      this.stage = "running";
    };
    const sides = new Map<string, Collect<unknown>>(tags.map((tag) => [tag, outputs.tagged(tag)]));
    this.sideOutput = (tag, value, timestamp = this.timestamp) => {
      if (this.stage !== "running") this.refuseCall("sideOutput");
      const side = sides.get(tag) ?? refuseTag(operator, tag, tags);
      if (!isAnswer(value)) refuseAnswer(operator, `sideOutput "${tag}" was given`, value);
      if (timestamp !== this.timestamp && !isTimestamp(timestamp))
        refuseTimestamp(operator, "sideOutput", timestamp);
      if (isRequired && timestamp === NO_TIMESTAMP)
        refuseMissing(operator, "sideOutput(tag, value, timestamp)");
      this.stage = "emitting";
      side(value, timestamp);
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

function refuseTimestamp(operator: string, call: string, timestamp: unknown): never {
  throw new OperatorError(
    operator,
    new Error(`${call} was given as timestamp ${describeNoTime(timestamp)}, or NO_TIMESTAMP`),
  );
}

function refuseMissing(operator: string, call: string): never {
  throw new OperatorError(
    operator,
    new Error(
      `what it emits must have a timestamp (timestamps: "required"), and what is being processed has none: give one by ${call}`,
    ),
  );
}

function refuseTag(operator: string, tag: unknown, tags: readonly string[]): never {
  const declared = tags.length === 0 ? "none is declared (sideOutputs)" : `declared: ${tags.join(", ")}`;
  const named = typeof tag === "string" ? `"${tag}"` : describeValue(tag);
  throw new OperatorError(operator, new Error(`it has no side output ${named}; ${declared}`));
}
