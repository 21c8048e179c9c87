/**
 * The user's own function over a stream without key, with state of the subtask.
 *
 * - PU1 `onEnd` runs once in each subtask, behind its last record and in front of the final checkpoint (P19). Behind it
 *   the state is empty: a finished subtask keeps nothing, and what it had is never dealt out to others.
 */
import {
  OperatorState,
  type OperatorStateDescriptors,
  type OperatorStateHandles,
} from "../../../state/operator-state.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OperatorKind, Outputs } from "../contract.ts";
import {
  EmittingContext,
  leavingTimestamps,
  type RequiredTimestamps,
  type Surroundings,
} from "../emitting.ts";
import { type Lifecycle, resourceOf } from "../lifecycle.ts";
import { oneSlice } from "../slices.ts";

/** Reused for every record of an operator: read it, do not keep it. */
export interface UnkeyedProcessContext<
  S extends OperatorStateDescriptors = OperatorStateDescriptors,
  Out = unknown,
> {
  /** Event time of the record in ms, or NO_TIMESTAMP: in `onEnd`, too. */
  readonly timestamp: number;
  /** The states of this subtask. */
  readonly state: OperatorStateHandles<S>;
  /** @param timestamp event time of what is emitted, in ms. Default: that of the context */
  readonly emit: (value: Out, timestamp?: number) => void;
  /**
   * Emits to the side output of this tag, which the operator declares.
   * @param timestamp as of `emit`
   */
  readonly sideOutput: (tag: string, value: unknown, timestamp?: number) => void;
  /** The answer of `open`. */
  readonly resource: unknown;
}

export interface UnkeyedProcessFunction {
  readonly state: OperatorStateDescriptors;
  /** The tags of the side outputs. */
  readonly sideOutputs?: readonly string[];
  readonly timestamps?: RequiredTimestamps | undefined;
  onRecord(value: unknown, context: UnkeyedProcessContext): void;
  /** Called once at the end of bounded input; runs once in a job's life (P19). */
  onEnd?(context: UnkeyedProcessContext): void;
}

export interface UnkeyedProcessOperator {
  readonly process: UnkeyedProcessFunction;
  readonly lifecycle?: Lifecycle | undefined;
}

export const unkeyedProcess: OperatorKind<UnkeyedProcessOperator> = {
  name: "unkeyedProcess",
  describe: ({ process }) => ({
    operatorStates: process.state,
    emitsAtEnd: process.onEnd !== undefined,
    ...(process.sideOutputs && { tags: process.sideOutputs }),
    ...leavingTimestamps(process.timestamps, process.onEnd === undefined ? [] : ["onEnd"]),
  }),
  open({ process, lifecycle }, { id, checks }, outputs) {
    const operatorState = new OperatorState(id, process.state, checks);
    const resource = resourceOf(id, lifecycle, { state: operatorState.handles });
    const { sideOutputs: tags, timestamps } = process;
    const context = new SubtaskContext(id, operatorState, outputs, { tags, timestamps, resource });
    const atEnd = (): void => {
      try {
        context.begin(NO_TIMESTAMP);
        context.finish(process.onEnd?.(context));
      } catch (error) {
        throw context.failureOf(error);
      }
      operatorState.clear();
    };
    return {
      ...resource?.hooks,
      operatorState,
      inputs: [
        (value, timestamp) => {
          try {
            context.begin(timestamp);
            context.finish(process.onRecord(value, context));
          } catch (error) {
            throw context.failureOf(error);
          }
        },
      ],
      finish: () => oneSlice(atEnd),
    };
  },
};

/** The one context of such an operator in a subtask. */
class SubtaskContext extends EmittingContext implements UnkeyedProcessContext {
  readonly state: UnkeyedProcessContext["state"];
  private readonly names: readonly string[];

  constructor(operator: string, state: OperatorState, outputs: Outputs, surroundings: Surroundings) {
    super(operator, outputs, surroundings);
    this.state = state.handles;
    this.names = state.names;
  }

  /** Its type has none; a job file without types finds out here. */
  get timers(): never {
    throw new Error("timers belong to keys: put keyBy in front of process");
  }

  begin(timestamp: number): void {
    this.beginAt(timestamp);
  }

  protected override get statesInUse(): readonly string[] {
    return this.names;
  }
}
