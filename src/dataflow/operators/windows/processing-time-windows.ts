/**
 * Windows of processing time: those of event time, with the wall clock of the subtask's process in its place.
 *
 * Owns: which time a record has, and when windows are looked at. Does not own: the windows (aligned/, sessions/).
 *
 * - PD1 A record has the time at which it is processed, and no record is late: a clock that is set back stands still
 *   until it has caught up.
 * - PD2 After a restore, what is past fires at once, in order. At the end of input all windows fire, or none (in Flink
 *   they are dropped then).
 */
import type { KeyedState } from "../../../state/keyed-state.ts";
import type { Collect } from "../../source.ts";
import { EventTime } from "../../time/event-time.ts";
import type { ProcessingTime } from "../../time/processing-time.ts";
import type { OpenOperator, OpenWindows, OperatorServices, Slices } from "../contract.ts";
import { noSlices, withEnd } from "../slices.ts";
import type { WindowDefinition } from "./definition.ts";

/** Windows of event time, with the time that they are given. */
export interface TimedWindows extends OpenOperator {
  readonly state: KeyedState;
  restored(): Slices;
  advance(time: number): Slices | undefined;
  figures(): Readonly<Record<string, number>>;
  openWindows(): OpenWindows;
  /** One ms behind the time at which something is to be done next. Infinity: nothing is. */
  readonly nextEnd: number;
}

/** Opens windows with the time that their definition asks for. */
export function openInTime(
  { time: kind, endOfInput = "fire" }: Pick<WindowDefinition, "time" | "endOfInput">,
  { time, processingTime }: Pick<OperatorServices, "time" | "processingTime">,
  open: (time: EventTime) => TimedWindows,
): OpenOperator {
  return kind === "event" ? open(time) : new ProcessingTimeWindows(processingTime, endOfInput, open);
}

class ProcessingTimeWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly windows: TimedWindows;
  private readonly time: EventTime;
  private readonly clock: ProcessingTime;
  private readonly atEnd: "fire" | "drop";
  /** The time that was asked for. */
  private asked = Number.POSITIVE_INFINITY;

  /** @param open with the time that stands for event time */
  constructor(clock: ProcessingTime, atEnd: "fire" | "drop", open: (time: EventTime) => TimedWindows) {
    this.clock = clock;
    this.atEnd = atEnd;
    this.time = new EventTime();
    // After a restore, nothing tells how far it was.
    this.time.isWorkingOff = true;
    this.windows = open(this.time);
    this.state = this.windows.state;
    const take = this.windows.inputs[0]!;
    this.inputs = [
      (value) => {
        take(value, Math.max(clock.nowMs(), this.time.watermark + 1));
        if (this.windows.nextEnd < this.asked) this.ask();
      },
    ];
  }

  restored(): Slices {
    return withEnd(this.windows.restored(), () => this.ask());
  }

  advanceProcessingTime(timeMs: number): Slices | undefined {
    return this.advanceTo(Math.max(timeMs, this.time.watermark));
  }

  finish(): Slices {
    if (this.atEnd === "drop") return noSlices;
    return this.advanceTo(Number.POSITIVE_INFINITY) ?? noSlices;
  }

  figures(): Readonly<Record<string, number>> {
    return this.windows.figures();
  }

  openWindows(): OpenWindows {
    return this.windows.openWindows();
  }

  private advanceTo(time: number): Slices | undefined {
    this.time.watermark = time;
    const slices = this.windows.advance(time);
    if (slices === undefined) {
      this.done();
      return undefined;
    }
    return withEnd(slices, () => this.done());
  }

  private done(): void {
    this.time.isWorkingOff = false;
    this.ask();
  }

  private ask(): void {
    this.asked = this.windows.nextEnd;
    if (this.asked !== Number.POSITIVE_INFINITY) this.clock.wakeAt(this.asked - 1);
  }
}
