/**
 * The user's functions over two keyed streams that share state and timers: Flink's KeyedCoProcessFunction.
 *
 * Owns: which function and which key selector a record meets, by the port at which it came. Does not own: everything
 * else that a keyed process does, which is that of keyed/process.ts.
 */
import type { StateDescriptors } from "../../../state/descriptor.ts";
import type { Collect } from "../../source.ts";
import type { OperatorKind } from "../contract.ts";
import type { KeySelector } from "../keyed/key-selector.ts";
import { type ProcessFunction, type ProcessOperator, processKind } from "../keyed/process.ts";

type Process = ProcessFunction<unknown, unknown, StateDescriptors>;

/** One of the two streams. */
export interface CoProcessSide {
  readonly key: KeySelector;
  readonly onRecord: Process["onRecord"];
}

export interface CoProcessOperator extends Pick<ProcessOperator, "lifecycle"> {
  readonly first: CoProcessSide;
  readonly second: CoProcessSide;
  /** The functions that both streams have in common, and the states. */
  readonly process: Omit<Process, "onRecord">;
}

export const coProcess: OperatorKind<CoProcessOperator> = {
  name: "coProcess",
  describe: ({ first, process }) => ({
    ...processKind.describe({ key: first.key, process: { ...process, onRecord: first.onRecord } }),
    ports: ["first", "second"],
  }),
  open({ first, second, process, lifecycle }, services, outputs) {
    // One process whose functions are those of the side that the current record came from.
    let current = first;
    const key: KeySelector = (value) => current.key(value);
    const onRecord: Process["onRecord"] = (value, context) => current.onRecord(value, context);
    const operator = { key, process: { ...process, onRecord }, lifecycle };
    const opened = processKind.open(operator, services, outputs);
    const input = opened.inputs[0]!;
    const inputOf =
      (side: CoProcessSide): Collect<unknown> =>
      (value, timestamp) => {
        current = side;
        input(value, timestamp);
      };
    return { ...opened, inputs: [inputOf(first), inputOf(second)] };
  },
};
