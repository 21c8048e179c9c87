/**
 * Pairs of records of two keyed streams whose event times are not further apart than an interval says: inner, as
 * Flink's IntervalJoinOperator.
 *
 * - IJ1 `left.time + lower <= right.time <= left.time + upper`. Each pair comes once, when the second of the two does.
 * - IJ2 A record is late when its time is not above the watermark, on both sides; it is counted and meets none. A
 *   record stays for as long as one that is not late can meet it. So which pairs there are follows from the records and
 *   from which of them are late, and from nothing else: Flink loses pairs at the border of the two (FLINK-33524).
 * - IJ3 A record looks only at those of its key that lie in its interval. They come by their time, and at one time in
 *   the order in which they came.
 */
import { stateTable } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import type { Collect } from "../../source.ts";
import type { OpenOperator, OperatorKind, OperatorServices, Outputs, Slices } from "../contract.ts";
import { type KeySelector, stableKey } from "../keyed/key-selector.ts";
import type { LateRecords } from "../windows/late-records.ts";
import { JoinBuffer } from "./join-buffer.ts";
import { checkTime, lateRecordsOf } from "./join-time.ts";
import { type JoinFunction, type JoinSide, PairContext } from "./pair-context.ts";

export interface IntervalJoinDefinition {
  readonly left: JoinSide;
  readonly right: JoinSide;
  /** In ms, both inclusive; `lowerMs <= upperMs`. */
  readonly lowerMs: number;
  readonly upperMs: number;
  /** The interval in words. Records that a narrower one has let go are missing in a wider one. */
  readonly description: string;
  readonly join: JoinFunction;
}

export const intervalJoin: OperatorKind<IntervalJoinDefinition> = {
  name: "intervalJoin",
  describe: ({ left, right, description, lowerMs, upperMs }) => ({
    states: { left: stateTable(), right: stateTable() },
    ownStates: true,
    windows: description,
    spanMs: upperMs - lowerMs,
    needsWatermarks: true,
    needsTimestamps: true,
    ports: ["left", "right"],
    tags: [left, right].flatMap(({ lateTag }) => lateTag ?? []),
  }),
  open: (definition, services, outputs) => new IntervalJoin(definition, services, outputs),
};

/** A record may stay longer than it must, by this part of how long it stays, so that many go together. */
const GRANULES_PER_STAY = 16;
const GRANULE_MS_MIN = 1000;

class IntervalJoin implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly left: JoinBuffer;
  private readonly right: JoinBuffer;
  private readonly lateLeft: LateRecords;
  private readonly lateRight: LateRecords;

  constructor(definition: IntervalJoinDefinition, services: OperatorServices, outputs: Outputs) {
    const { left, right, lowerMs, upperMs, join } = definition;
    const state = services.keyedState();
    this.state = state;
    const granuleMs = Math.max(GRANULE_MS_MIN, Math.ceil((upperMs - lowerMs) / GRANULES_PER_STAY));
    this.left = new JoinBuffer({ state, table: "left", staysMs: upperMs, granuleMs });
    this.right = new JoinBuffer({ state, table: "right", staysMs: -lowerMs, granuleMs });
    const lateOf = (side: JoinSide) => lateRecordsOf(side, services, state, outputs);
    this.lateLeft = lateOf(left);
    this.lateRight = lateOf(right);
    const context = new PairContext(services.id, outputs, { join, state });
    const shared = { services, state, context };
    this.inputs = [
      inputOf({
        ...shared,
        isLeft: true,
        key: left.key,
        late: this.lateLeft,
        own: this.left,
        others: this.right,
        fromMs: lowerMs,
        toMs: upperMs,
      }),
      inputOf({
        ...shared,
        isLeft: false,
        key: right.key,
        late: this.lateRight,
        own: this.right,
        others: this.left,
        fromMs: -upperMs,
        toMs: -lowerMs,
      }),
    ];
  }

  restored(): Slices {
    const [left, right] = [this.left.restored(), this.right.restored()];
    return { step: () => left.step() || right.step() };
  }

  /** Removes what no record can meet any more. */
  advance(time: number): Slices | undefined {
    const { left, right } = this;
    if (!left.hasDue(time) && !right.hasDue(time)) return undefined;
    return { step: () => left.removeSome(time) || right.removeSome(time) };
  }

  /** Records that were late, by their side. */
  figures(): Readonly<Record<string, number>> {
    return { lateLeft: this.lateLeft.late, lateRight: this.lateRight.late };
  }
}

interface InputParts {
  readonly services: OperatorServices;
  readonly state: KeyedState;
  readonly context: PairContext;
  readonly isLeft: boolean;
  readonly key: KeySelector;
  readonly late: LateRecords;
  readonly own: JoinBuffer;
  readonly others: JoinBuffer;
  /** The records of the other side that one of this side meets are those from `time + fromMs` to `time + toMs`. */
  readonly fromMs: number;
  readonly toMs: number;
}

function inputOf(parts: InputParts): Collect<unknown> {
  const { services, state, context, isLeft, late, own, others, fromMs, toMs } = parts;
  const { time } = services;
  const keyOf = stableKey(services.id, parts.key, services.checks);
  return (value, timestamp) => {
    if (!(timestamp > time.watermark && Number.isFinite(timestamp))) {
      checkTime(services.id, timestamp);
      late.refuse(value, timestamp, "late", timestamp + 1);
      return;
    }
    try {
      const key = keyOf(value);
      state.setCurrentKey(key);
      // With an interval of the past or of the future alone, there may be none to come that meets it.
      if (timestamp + toMs > time.watermark) own.add(timestamp, value);
      const times = others.times(key);
      const end = times.placeOf(timestamp + toMs + 1);
      for (let place = times.placeOf(timestamp + fromMs); place < end; place++) {
        const other = times.at(place);
        const partners = others.recordsAt(other);
        for (let i = 0; i < partners.length; i++) {
          if (isLeft) context.meet(key, value, timestamp, partners[i], other);
          else context.meet(key, partners[i], other, value, timestamp);
        }
      }
    } catch (error) {
      throw context.failureOf(error);
    }
  };
}
