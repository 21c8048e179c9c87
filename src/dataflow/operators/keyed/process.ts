/**
 * The user's own function over keyed state.
 *
 * - PR1 `onEnd` runs once for each key that holds state when the input ends, a key to a slice (P19).
 */
import type { Key, StateDescriptors, StateHandles } from "../../../state/descriptor.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OperatorKind, Slices } from "../contract.ts";
import { type Lifecycle, resourceOf } from "../lifecycle.ts";
import { type KeySelector, stableKey } from "./key-selector.ts";
import { RecordContext } from "./record-context.ts";

/** Reused for every record of an operator: read it, do not keep it. */
export interface ProcessContext<S extends StateDescriptors = StateDescriptors, Out = unknown> {
  readonly key: Key;
  /** Event time of the record in ms, or NO_TIMESTAMP. */
  readonly timestamp: number;
  readonly state: StateHandles<S>;
  /** Emits with the timestamp of the record being processed. */
  readonly emit: (value: Out) => void;
  /** Emits to the side output of this tag, which the operator declares, with the timestamp of the record. */
  readonly sideOutput: (tag: string, value: unknown) => void;
  /** The answer of `open`. */
  readonly resource: unknown;
}

export interface ProcessFunction<In, Out, S extends StateDescriptors> {
  readonly state: S;
  /** The tags of the side outputs. */
  readonly sideOutputs?: readonly string[];
  onRecord(value: In, context: ProcessContext<S, Out>): void;
  /** Called at the end of bounded input, once for every key that holds state; runs once in a job's life (P19). */
  onEnd?(context: ProcessContext<S, Out>): void;
}

export interface ProcessOperator {
  readonly key: KeySelector;
  readonly process: ProcessFunction<unknown, unknown, StateDescriptors>;
  readonly lifecycle?: Lifecycle | undefined;
}

export const processKind: OperatorKind<ProcessOperator> = {
  name: "process",
  describe: ({ process }) => ({
    states: process.state,
    emitsAtEnd: process.onEnd !== undefined,
    ...(process.sideOutputs && { tags: process.sideOutputs }),
  }),
  open({ key, process, lifecycle }, { id, checks, keyedState }, outputs) {
    const keyOf = stableKey(id, key, checks);
    const state = keyedState();
    const resource = resourceOf(id, lifecycle);
    const context = new RecordContext(id, state, outputs, { tags: process.sideOutputs, resource });
    const atEnd = (key: Key): void => {
      try {
        state.setCurrentKey(key);
        context.begin(key, NO_TIMESTAMP);
        context.finish(process.onEnd!(context));
      } catch (error) {
        throw context.failureOf(error);
      }
    };
    return {
      ...resource?.hooks,
      state,
      inputs: [
        (value, timestamp) => {
          try {
            const key = keyOf(value);
            state.setCurrentKey(key);
            context.begin(key, timestamp);
            context.finish(process.onRecord(value, context));
          } catch (error) {
            throw context.failureOf(error);
          }
        },
      ],
      ...(process.onEnd !== undefined && { finish: () => keyByKey(state.keys(), atEnd) }),
    };
  },
};

function keyByKey(keys: Iterator<Key>, act: (key: Key) => void): Slices {
  return {
    step() {
      const next = keys.next();
      if (next.done === true) return false;
      act(next.value);
      return true;
    },
  };
}
