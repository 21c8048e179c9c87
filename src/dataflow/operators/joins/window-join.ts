/**
 * Windows over the records of two keyed streams: those of both sides lie in one window of their key.
 *
 * Owns: which side a record is of, in the window and in the late output. Does not own: windows, which are those of any
 * window operator (windows/), what becomes of the two sides (the window function).
 */
import type { Collect } from "../../source.ts";
import type { OpenOperator, OperatorDefinition, OperatorKind, Outputs } from "../contract.ts";
import type { LateRecord } from "../windows/late-records.ts";

/** A record as it lies in a window. */
export interface SidedRecord {
  readonly side: "left" | "right";
  readonly value: unknown;
}

/** A record that no window took. */
export interface SidedLateRecord<T = unknown> extends LateRecord<T> {
  /** The stream that it came from. */
  readonly side: "left" | "right";
}

export const windowJoin: OperatorKind<{ readonly windows: OperatorDefinition }> = {
  name: "windowJoin",
  describe: ({ windows }) => ({ ...windows.details, ports: ["left", "right"] }),
  open({ windows }, services, outputs) {
    const opened = windows.open(services, withoutSides(outputs));
    const input = opened.inputs[0]!;
    const inputOf =
      (side: SidedRecord["side"]): Collect<unknown> =>
      (value, timestamp) =>
        input({ side, value } satisfies SidedRecord, timestamp);
    return withInputs(opened, [inputOf("left"), inputOf("right")]);
  },
};

/** Window operators have one other output, that of late records. */
function withoutSides(outputs: Outputs): Outputs {
  return {
    ...outputs,
    tagged(tag) {
      const late = outputs.tagged(tag);
      return (value, timestamp) => {
        const record = value as LateRecord<SidedRecord>;
        const told: SidedLateRecord = { ...record, ...record.value };
        late(told, timestamp);
      };
    },
  };
}

/** The same operator behind other inputs. */
function withInputs(opened: OpenOperator, inputs: OpenOperator["inputs"]): OpenOperator {
  return {
    inputs,
    ...(opened.state && { state: opened.state }),
    ...(opened.restored && { restored: () => opened.restored!() }),
    ...(opened.open && { open: (opening) => opened.open!(opening) }),
    ...(opened.advance && { advance: (time) => opened.advance!(time) }),
    ...(opened.advanceProcessingTime && {
      advanceProcessingTime: (timeMs) => opened.advanceProcessingTime!(timeMs),
    }),
    ...(opened.figures && { figures: () => opened.figures!() }),
    ...(opened.openWindows && { openWindows: () => opened.openWindows!() }),
    ...(opened.finish && { finish: () => opened.finish!() }),
    ...(opened.close && { close: () => opened.close!() }),
  };
}
