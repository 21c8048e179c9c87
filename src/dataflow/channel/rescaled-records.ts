/**
 * Records of a channel that were stored when its edge had other numbers of subtasks (P93): which of them lead to one
 * receiver now.
 */
import { keyGroupOf, keyGroupRangeOf } from "../../state/key-groups.ts";
import type { Partitioner } from "../graph.ts";
import { keyOfTravelling } from "../operators/keyed/combine.ts";
import type { RecordsFrame } from "./frame.ts";

/** One of the receiving subtasks of an edge. */
export interface Receiver {
  readonly partitioner: Partitioner;
  readonly index: number;
  readonly parallelism: number;
  /** Number of key groups of the job. */
  readonly maxParallelism: number;
}

/**
 * The frame with the receiver's own records. It has no marks of event time: a mark holds for all that one sender had
 * sent, and the frame's are those of another one.
 */
export function recordsFor(receiver: Receiver): (frame: RecordsFrame) => RecordsFrame {
  const isOwn = ownsOf(receiver);
  return ({ kind, values, timestamps }) => ({
    kind,
    values: values.filter(isOwn),
    timestamps: timestamps?.filter((_, i) => isOwn(values[i])),
    marks: undefined,
  });
}

function ownsOf({ partitioner, index, parallelism, maxParallelism }: Receiver): (value: unknown) => boolean {
  switch (partitioner.kind) {
    case "hash": {
      const keyOf = keyOfTravelling(partitioner);
      const { first, last } = keyGroupRangeOf(index, parallelism, maxParallelism);
      return (value) => {
        const keyGroup = keyGroupOf(keyOf(value), maxParallelism);
        return keyGroup >= first && keyGroup <= last;
      };
    }
    case "custom":
      return (value) => partitioner.partition(value, parallelism) === index;
    default:
      return () => true;
  }
}
