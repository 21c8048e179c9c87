/**
 * Timestamps and watermarks in the middle of a job: event time begins anew behind this operator.
 *
 * Owns: what goes on of event time, and what a checkpoint holds of it. Does not own: the watermark generator and when
 * it is asked (dataflow/time/source-time.ts), turns (runtime/worker/subtask/turns.ts).
 *
 * - AT1 Each record goes on with its new timestamp. Watermarks and idleness from upstream end here; only the end of the
 *   input goes on, behind the last record.
 * - AT2 A subtask has one watermark, whichever channels its records come from. A checkpoint holds it and what its
 *   generator remembers, so a restore does not change what is late. A subtask that gets those of several ones goes on
 *   with the one whose watermark is least: no record that was on time is late after that.
 *
 * Flink: TimestampsAndWatermarksOperator.
 */
import type { Clock, Timer } from "../../../clock.ts";
import {
  ASSIGNED_TIME,
  encodeSplitTime,
  parseAssignedTime,
  type StoredSplitTime,
} from "../../../formats/positions/event-time.ts";
import type { OperatorStateCut } from "../../../state/operator-state.ts";
import { type SourceEventTime, SourceTime } from "../../time/source-time.ts";
import { WatermarkCombiner } from "../../time/watermark-combiner.ts";
import type { HeldRecords, HeldReport, Opening, OpenOperator, OperatorKind, Outputs } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { oneSlice } from "../slices.ts";

export interface AssignTimestampsOperator {
  readonly eventTime: SourceEventTime;
}

export const assignTimestamps: OperatorKind<AssignTimestampsOperator> = {
  name: "assignTimestamps",
  // Event time ends here and goes on by turns of the operator's own, as where records are held back.
  describe: ({ eventTime }) => ({ eventTime, holdsRecords: true }),
  open: ({ eventTime }, { id }, outputs) => new AssignedTime(id, eventTime, outputs).opened,
};

/** Its one sender of event time. */
const ITSELF = 0;

class AssignedTime implements HeldRecords {
  readonly opened: OpenOperator;
  /** Records go out before their input returns. */
  readonly isEmpty = true;
  readonly #id: string;
  readonly #eventTime: SourceEventTime;
  readonly #outputs: Outputs;
  readonly #sender = new WatermarkCombiner(1);
  readonly #restored: StoredSplitTime[] = [];
  #time: SourceTime;
  #clock: Clock | undefined;
  #nextLook: Timer | undefined;
  #toldWatermark = Number.NEGATIVE_INFINITY;
  #toldIdle = false;
  #hasEnded = false;
  #wake: () => void = () => {};

  constructor(id: string, eventTime: SourceEventTime, outputs: Outputs) {
    this.#id = id;
    this.#eventTime = eventTime;
    this.#outputs = outputs;
    this.#time = new SourceTime(id, eventTime, [undefined]);
    this.opened = {
      inputs: [(value, timestamp) => this.#take(value, timestamp)],
      held: this,
      operatorState: {
        cut: () => this.#cut(),
        restore: ({ state, entries }) => {
          if (state !== ASSIGNED_TIME) return;
          for (const entry of entries) this.#restored.push(parseAssignedTime(entry, id));
        },
      },
      open: async (opening) => this.#open(opening),
      finish: () => oneSlice(() => this.#end()),
      close: () => this.#nextLook?.cancel(),
    };
  }

  hasRoom(): boolean {
    return true;
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
  }

  /** What comes from upstream is not heard (AT1). */
  mark(): void {}

  step(): boolean {
    this.#look();
    return this.#tell();
  }

  report(): HeldReport {
    return {
      watermark: this.#toldWatermark,
      isIdle: this.#toldIdle,
      records: 0,
      own: { lastRecordMs: this.#time.lastRecordMs(ITSELF), idleAfterMs: this.#eventTime.idleAfterMs },
    };
  }

  #open({ clock }: Opening): void {
    this.#clock = clock;
    const [first, ...others] = this.#restored;
    if (first === undefined) return;
    const least = others.reduce((found, one) => (one.watermark < found.watermark ? one : found), first);
    const isIdle = this.#restored.every((one) => one.isIdle);
    this.#time = new SourceTime(this.#id, this.#eventTime, [least]);
    this.#sender.restore(ITSELF, { watermark: least.watermark, isIdle });
    this.#sender.restored(least.watermark);
  }

  #take(value: unknown, given: number): void {
    const timestamp = this.#timestampOf(value, given);
    if (this.#sender.senderIsIdle(ITSELF)) {
      this.#sender.spoke(ITSELF);
      this.#tell();
    }
    this.#outputs.main(value, timestamp);
    if (!this.#passed(value, timestamp)) return;
    this.#sender.advanced(ITSELF, this.#time.watermark(ITSELF));
    this.#tell();
  }

  #timestampOf(value: unknown, given: number): number {
    try {
      return this.#time.timestampOf(value, given);
    } catch (error) {
      throw failureOf(this.#id, error);
    }
  }

  #passed(value: unknown, timestamp: number): boolean {
    try {
      return this.#time.passed(ITSELF, value, timestamp);
    } catch (error) {
      throw failureOf(this.#id, error);
    }
  }

  /** Asks the generator when it is time, and sees to it that there is a turn for the next time. */
  #look(): void {
    const clock = this.#clock;
    // The input had ended before a restored checkpoint: nothing was opened, and time has no meaning any more.
    if (clock === undefined) return;
    const nowMs = clock.elapsedMs();
    const dueMs = this.#time.nextLookMs(this.#sender);
    if (dueMs === undefined) return;
    if (nowMs >= dueMs) this.#askGenerator(nowMs);
    const nextMs = this.#time.nextLookMs(this.#sender);
    if (nextMs === undefined || this.#nextLook !== undefined) return;
    this.#nextLook = clock.after(Math.max(1, Math.ceil(nextMs - nowMs)), () => {
      this.#nextLook = undefined;
      this.#wake();
    });
  }

  #askGenerator(nowMs: number): void {
    try {
      this.#time.look(nowMs, this.#sender, () => "idle");
    } catch (error) {
      throw failureOf(this.#id, error);
    }
  }

  /** Answers whether there was something to tell. */
  #tell(): boolean {
    const { watermark, isIdle } = this.#sender;
    if (watermark === this.#toldWatermark && isIdle === this.#toldIdle) return false;
    this.#toldWatermark = watermark;
    this.#toldIdle = isIdle;
    this.#outputs.mark(watermark, isIdle);
    return true;
  }

  #end(): void {
    this.#hasEnded = true;
    this.#nextLook?.cancel();
  }

  #cut(): OperatorStateCut[] {
    // A subtask that has ended holds nothing back, also where its state is dealt out to others.
    if (this.#hasEnded) return [];
    const stored = this.#time.snapshot(ITSELF, this.#sender.senderIsIdle(ITSELF));
    return [{ state: ASSIGNED_TIME, distribution: "list", entries: [encodeSplitTime(stored)] }];
  }
}
