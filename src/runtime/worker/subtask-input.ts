/** The two kinds of input of a subtask, as the loop takes them: a source reader, or the gate of its channels. */
import type { Chain } from "../../dataflow/chain.ts";
import type { ControlFrame } from "../../dataflow/channel/frame.ts";
import type { InputGate } from "../../dataflow/input-gate.ts";
import type { SourceReader } from "../../dataflow/source.ts";
import { OperatorError } from "../../errors.ts";
import type { LoopInput } from "./subtask-loop.ts";

/** Records taken from a source between two looks at credit and clock. */
const RECORDS_PER_POLL = 128;

export interface InputCounter {
  records: number;
}

export function sourceInput(
  reader: SourceReader<unknown>,
  operator: string,
  chain: Chain,
  counter: InputCounter,
): LoopInput & {
  /** It ends here, as if there were no more. */
  drain(): void;
} {
  const { head } = chain;
  const collect = (value: unknown, timestamp: number): void => {
    counter.records++;
    head(value, timestamp);
  };
  let ended = false;
  let drained = false;
  return {
    take() {
      if (ended) return "idle";
      if (drained) {
        ended = true;
        return "ended";
      }
      try {
        const status = reader.poll(collect, RECORDS_PER_POLL);
        ended = status === "ended";
        return status;
      } catch (error) {
        const located = error instanceof OperatorError ? error : new OperatorError(operator, error);
        throw located.at(reader.describePosition());
      }
    },
    onAvailable: (wake) => reader.onAvailable(wake),
    drain() {
      drained = true;
    },
  };
}

/** Of a source whose input had ended before the restored checkpoint. */
export const endedInput: LoopInput = { take: () => "idle", onAvailable: () => {} };

export function gateInput(
  gate: InputGate,
  chain: Chain,
  counter: InputCounter,
  /** Where each channel comes from, for error messages. */
  origins: readonly string[],
  onControl: (channelIndex: number, frame: ControlFrame) => void,
): LoopInput {
  const { head } = chain;
  let ended = false;
  return {
    take() {
      const next = gate.nextFrame();
      if (next === undefined) return "idle";
      const { frame, channelIndex } = next;
      if (frame.kind !== "records") {
        onControl(channelIndex, frame);
        if (frame.kind === "endOfData" && gate.allEnded() && !ended) {
          ended = true;
          return "ended";
        }
        return "more";
      }
      const { values, timestamps } = frame;
      try {
        if (timestamps === undefined)
          for (let i = 0; i < values.length; i++) head(values[i], Number.NEGATIVE_INFINITY);
        else for (let i = 0; i < values.length; i++) head(values[i], timestamps[i]!);
      } catch (error) {
        throw error instanceof OperatorError ? error.at(`a record from ${origins[channelIndex]}`) : error;
      }
      counter.records += values.length;
      return "more";
    },
    onAvailable: (wake) => gate.onFrame(wake),
  };
}
