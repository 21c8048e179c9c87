/** The end of a chain: records go to the writer, which the subtask opens, cuts, commits and closes. */
import type { OperatorStateHandle, StateHandle } from "../../../machines/protocol.ts";
import { ObjectCorruptError } from "../../errors.ts";
import { decodeValue, encodeValue } from "../../formats/codec.ts";

import { isAnswer, refuseAnswer, wanted } from "../guards/answers.ts";
import type { Sink } from "../sink.ts";
import type { OperatorKind } from "./contract.ts";
import { failureOf } from "./failure.ts";

export const sink: OperatorKind<{ readonly sink: Sink<unknown> }> = {
  name: "sink",
  describe: ({ sink }) => ({ sink }),
  open(_, { id, writer }) {
    const opened = writer();
    return {
      inputs: [
        (value, timestamp) => {
          try {
            const answer: unknown = opened.write(value, timestamp);
            if (answer !== undefined && !isAnswer(answer))
              refuseAnswer(id, "write answered", answer, wanted.nothing);
          } catch (error) {
            throw failureOf(id, error);
          }
        },
      ],
    };
  },
};

/** Name of the state that holds what a writer remembers of its target: one entry, or none. */
const SINK_STATE = "sink";

/** @param memory undefined: the writer remembers nothing */
export function memoryHandle(operator: string, subtaskIndex: number, memory: unknown): OperatorStateHandle {
  const entries = memory === undefined ? [] : [encodeValue(memory)];
  return { kind: "operator", operator, state: SINK_STATE, distribution: "own", subtaskIndex, entries };
}

/** The memory of the writer of this subtask; undefined: there is none. */
export function memoryIn(states: readonly StateHandle[], operator: string, subtaskIndex: number): unknown {
  const handle = states.find(
    (one) => isMemory(one) && one.operator === operator && one.subtaskIndex === subtaskIndex,
  );
  const entry = handle?.kind === "operator" ? handle.entries[0] : undefined;
  if (entry === undefined) return undefined;
  try {
    return decodeValue(entry);
  } catch (cause) {
    const place = `state of sink ${operator}`;
    throw new ObjectCorruptError(place, `the ${place} cannot be read: it is no msgpack`, { cause });
  }
}

/**
 * What writers remember that the job does not have at present: with more subtasks again, each of them misses its marker
 * if that is gone.
 */
export function memoriesOfOthers(states: readonly StateHandle[], subtaskIndex: number): StateHandle[] {
  return states.filter((state) => isMemory(state) && state.subtaskIndex !== subtaskIndex);
}

function isMemory(state: StateHandle): state is OperatorStateHandle {
  return state.kind === "operator" && state.state === SINK_STATE;
}
