/**
 * The in-memory twin of an at-least-once sink: records are sent at once, and barriers wait for their acknowledgements.
 */
import type { Sink } from "../../../../src/dataflow/sink.ts";

/** Resolves when the values are there for sure. @throws when that is not known */
export type Deliver<T> = (values: readonly T[]) => Promise<void>;

/** Values on their way; with more of them the subtask takes no input. */
const WINDOW = 20;

/** @param deliver of the process that opens the sink */
export function plainSink<T>(deliverFrom: () => Deliver<T>): Sink<T> {
  return {
    kind: "plain memory",
    guarantee: "at-least-once",
    async check() {},
    async open() {
      const deliver = deliverFrom();
      let waiting: T[] = [];
      let sending: Promise<void> | undefined;
      let wake = (): void => {};
      const send = async (): Promise<void> => {
        while (waiting.length > 0) {
          const values = waiting;
          waiting = [];
          while (!(await deliver(values).then(...settled))) {}
          wake();
        }
        sending = undefined;
      };
      return {
        write(value) {
          waiting.push(value);
          sending ??= send();
        },
        blocked: () => waiting.length > WINDOW,
        onAvailable(run) {
          wake = run;
        },
        cut: () => undefined,
        snapshot: () => undefined,
        commit: async () => {
          throw new Error("an at-least-once sink has no transactions");
        },
        flush: async () => await sending,
        close: async () => {},
      };
    },
  };
}

const settled = [() => true, () => false] as const;
