/**
 * The context that a process operator's functions get, and what it takes to tell whose failure an error is.
 *
 * Owns: OP3 of contract.ts for functions that emit while they run. Does not own: state (KeyedState), where records go.
 */
import { OperatorError } from "../../../errors.ts";
import type { Key } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { isAnswer, refuseAnswer, wanted } from "../../guards/answers.ts";
import { type Collect, NO_TIMESTAMP } from "../../source.ts";
import { failureOf } from "../failure.ts";
import type { ProcessContext } from "./process.ts";

/**
 * "idle": no record is being processed; "running": inside the user's function; "emitting": inside what is downstream.
 */
type ContextStage = "idle" | "running" | "emitting";

/** The one context of a process operator, and what it takes to tell whose failure an error is (OP3). */
export class RecordContext implements ProcessContext {
  key: Key = "";
  timestamp: number = NO_TIMESTAMP;
  readonly state: ProcessContext["state"];
  readonly emit: (value: unknown) => void;
  private readonly operator: string;
  private readonly states: KeyedState;
  private stage: ContextStage = "idle";

  constructor(operator: string, state: KeyedState, downstream: Collect<unknown>) {
    this.operator = operator;
    this.states = state;
    this.state = state.handles;
    this.emit = (value) => {
      if (this.stage !== "running") this.refuseEmit();
      if (!isAnswer(value)) refuseAnswer(operator, "emit was given", value);
      this.stage = "emitting";
      downstream(value, this.timestamp);
      this.stage = "running";
    };
  }

  begin(key: Key, timestamp: number): void {
    this.key = key;
    this.timestamp = timestamp;
    this.stage = "running";
  }

  /** `result`: what the user's function returned. */
  finish(result: unknown): void {
    if (this.stage !== "running" || result !== undefined) this.refuseReturn(result);
    this.stage = "idle";
  }

  failureOf(error: unknown): unknown {
    const downstreamFailed = this.stage === "emitting";
    this.stage = "idle";
    return downstreamFailed ? error : failureOf(this.operator, error, this.states.statesInUse);
  }

  private refuseEmit(): never {
    throw new OperatorError(
      this.operator,
      this.stage === "idle"
        ? new Error("emit was called after the record was processed; operators are synchronous")
        : new Error("emit was called again after it had failed"),
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
