/**
 * Windows without bounds in time: each holds so many records of a key, or all of them.
 *
 * - CW1 A window fires with its last record, and is empty then. What is left fires at the end of input, a key to a
 *   slice, or is dropped (Flink drops it).
 * - CW2 A result has the largest timestamp of its records (in Flink that of the end of time).
 */
import { ABSENT } from "../../../../state/contract.ts";
import { type Key, stateTable } from "../../../../state/descriptor.ts";
import type { OpenOperator, OperatorKind } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import { stableKey } from "../../keyed/key-selector.ts";
import { noSlices } from "../../slices.ts";
import { RECORDS } from "../contents.ts";
import type { WindowDefinition } from "../definition.ts";
import { SessionAccumulators, type SessionContents, SessionRecords } from "../sessions/session-contents.ts";
import { WindowOutput } from "../window-output.ts";

/** Table: key -> its window. */
const WINDOWS = "windows";

export interface CountWindowDefinition extends WindowDefinition {
  /** Infinity: one window holds all records of a key. */
  readonly size: number;
}

/** Plain data. */
interface CountedWindow {
  readonly count: number;
  /** The largest of its records; -Infinity: none of them has one. */
  readonly timestamp: number;
  /** null: nothing. */
  readonly held: unknown;
}

const EMPTY: CountedWindow = { count: 0, timestamp: Number.NEGATIVE_INFINITY, held: null };

export const countWindow: OperatorKind<CountWindowDefinition> = {
  name: "countWindow",
  describe: ({ aggregation, description }) => ({
    states: { [WINDOWS]: stateTable(), ...(aggregation === undefined && { [RECORDS]: stateTable() }) },
    ownStates: true,
    emitsAtEnd: true,
    windows: description,
  }),
  open({ key, size, aggregation, process, endOfInput }, { id, checks, keyedState }, outputs): OpenOperator {
    const keyOf = stableKey(id, key, checks);
    const state = keyedState();
    const table = state.table(WINDOWS);
    const output = new WindowOutput({ operator: id, outputs, state, process });
    const options = { operator: id, state, checks };
    const contents: SessionContents =
      aggregation === undefined
        ? new SessionRecords(options, undefined)
        : new SessionAccumulators(options, aggregation);

    /** The current key's window fires, and is empty then. */
    const fire = (of: Key, window: CountedWindow): void => {
      let read: unknown;
      try {
        read = contents.read(window.held);
        contents.drop(window.held);
        table.remove();
      } catch (error) {
        throw failureAtKey(id, error, state, of);
      }
      const { timestamp } = window;
      const bounds = { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY };
      output.fire(contents, read, { key: of, ...bounds, timestamp, firing: "onTime", index: 0 });
    };

    return {
      state,
      inputs: [
        (value, timestamp) => {
          let of: Key | undefined;
          let window: CountedWindow;
          try {
            of = keyOf(value);
            state.setCurrentKey(of);
            const before = table.read();
            const { count, timestamp: largest, held } = before === ABSENT ? EMPTY : (before as CountedWindow);
            window = {
              count: count + 1,
              timestamp: Math.max(largest, timestamp),
              held: count === 0 ? contents.first(value, 0) : contents.add(held, value),
            };
            if (window.count < size) {
              table.write(window);
              return;
            }
          } catch (error) {
            throw failureAtKey(id, error, state, of);
          }
          fire(of, window);
        },
      ],
      openWindows: () => ({ windows: table.rowCount, of: "keys", lastEndMs: null }),
      finish() {
        if (endOfInput === "drop") return noSlices;
        const keys = state.keys();
        return {
          step() {
            const next = keys.next();
            if (next.done === true) return false;
            state.setCurrentKey(next.value);
            const window = table.read();
            if (window !== ABSENT && (window as CountedWindow).count > 0) {
              fire(next.value, window as CountedWindow);
            }
            return true;
          },
        };
      },
    };
  },
};
