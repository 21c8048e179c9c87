/** The context that the functions of a keyed process operator get: outputs, key, state, time and timers. */
import type { Key } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OperatorServices, Outputs } from "../contract.ts";
import { EmittingContext, type KeyInHands, type Surroundings } from "../emitting.ts";
import { CheckedTimers, type ContextTimers } from "./context-timers.ts";
import type { OperatorTimers } from "./operator-timers.ts";
import type { ProcessContext } from "./process.ts";

export interface RecordContextOptions {
  readonly services: Pick<OperatorServices, "id" | "time" | "processingTime">;
  readonly state: KeyedState;
  readonly outputs: Outputs;
  readonly surroundings: Surroundings;
  /** undefined: the operator has no `onTimer`. */
  readonly timers: OperatorTimers | undefined;
}

const AT_END = "in onEnd: the input has ended, and all timers have fired";
const IDLE = "when no record and no timer was being processed; operators are synchronous";

/** The one context of a process operator. */
export class RecordContext extends EmittingContext implements ProcessContext {
  key: Key = "";
  readonly state: ProcessContext["state"];
  readonly timers: ContextTimers;
  private readonly options: RecordContextOptions;
  private isAtEnd = false;
  private isAtLast = false;

  constructor(options: RecordContextOptions) {
    const { services, state, outputs, surroundings, timers } = options;
    super(services.id, outputs, surroundings);
    this.options = options;
    this.state = state.handles;
    this.timers = new CheckedTimers(services.id, timers, () => this.whyNoTimers());
  }

  get currentWatermark(): number {
    return this.options.services.time.watermark;
  }

  get currentProcessingTime(): number {
    return this.options.services.processingTime.nowMs();
  }

  begin(key: Key, timestamp: number): void {
    this.key = key;
    this.beginAt(timestamp);
  }

  /** No key is current: access to state is refused. Called in front of `onFinish`. */
  beginAtLast(): void {
    this.options.state.leaveCurrentKey();
    this.isAtLast = true;
    this.beginAt(NO_TIMESTAMP);
  }

  /** A function that has kept the states for later finds no key in them. */
  override finish(result: unknown): void {
    super.finish(result);
    this.options.state.leaveCurrentKey();
  }

  /** A function runs for the key, and nothing has failed. */
  get isInFunction(): boolean {
    return this.isRunning;
  }

  /** From here on only `onEnd` is called. */
  timersHaveFired(): void {
    this.isAtEnd = true;
  }

  protected override get statesInUse(): readonly string[] {
    return this.options.state.statesInUse;
  }

  protected override get keyed(): KeyInHands | undefined {
    return this.isAtLast ? undefined : { key: this.key, state: this.options.state };
  }

  private whyNoTimers(): string | undefined {
    if (this.isAtEnd) return AT_END;
    return this.isRunning ? undefined : IDLE;
  }
}
