/** What leaves a window operator: results, by the user's window function or as they are. */
import type { Key, StateDescriptors, StateHandles } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { Collect } from "../../source.ts";
import type { Outputs } from "../contract.ts";
import { EmittingContext, type KeyInHands } from "../emitting.ts";
import { failureAtKey } from "../failure.ts";

/** Bounds in ms of event time; `end` is the first ms that is not in the window. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/**
 * Why a window has fired: "early": before its end; "onTime": its time has come; "late": a record came within the
 * allowed lateness, and the result takes the place of the one before it.
 */
export type WindowFiring = "early" | "onTime" | "late";

/** Reused for every firing of an operator: read it, do not keep it. */
export interface WindowContext<
  K extends Key = Key,
  Out = unknown,
  WS extends StateDescriptors = StateDescriptors,
  KS extends StateDescriptors = StateDescriptors,
> {
  readonly key: K;
  readonly window: Window;
  readonly firing: WindowFiring;
  /** How often the window has fired for this key before. */
  readonly index: number;
  /** The timestamp of what is emitted in ms: that of the last ms in the window. */
  readonly timestamp: number;
  readonly emit: (value: Out) => void;
  /** The states of the key and window that the window declares. They go with the window. */
  readonly windowState: StateHandles<WS>;
  /** The states of the key that the window declares. They stay until they are cleared. */
  readonly keyState: StateHandles<KS>;
}

/** The states of window functions. */
export type WindowStates = Pick<WindowContext, "windowState" | "keyState">;

const NO_STATES: WindowStates = { windowState: {}, keyState: {} };

/** What it returns is emitted, unless it is undefined. */
export type WindowFunction = (contents: unknown, context: WindowContext) => unknown;

class FiringContext extends EmittingContext implements WindowContext {
  key: Key = "";
  window: Window = { start: 0, end: 0 };
  firing: WindowFiring = "onTime";
  index = 0;
  readonly windowState: WindowStates["windowState"];
  readonly keyState: WindowStates["keyState"];

  private readonly state: KeyInHands["state"];

  constructor({ operator, outputs, state, states }: Omit<Required<WindowOutputOptions>, "process">) {
    super(operator, outputs, {});
    const { windowState, keyState } = states;
    this.state = state;
    this.windowState = windowState;
    this.keyState = keyState;
  }

  protected override get keyed(): KeyInHands {
    return { key: this.key, state: this.state };
  }

  begin({ key, start, end, timestamp, firing, index }: Firing): void {
    this.key = key;
    this.window = { start, end };
    this.firing = firing;
    this.index = index;
    this.beginAt(timestamp);
  }
}

export interface Firing {
  readonly key: Key;
  readonly start: number;
  readonly end: number;
  /** The timestamp of what is emitted, in ms. */
  readonly timestamp: number;
  readonly firing: WindowFiring;
  readonly index: number;
}

/** Makes what a window holds its result. */
export interface Resulting {
  result(held: unknown): unknown;
}

export interface WindowOutputOptions {
  readonly operator: string;
  readonly outputs: Outputs;
  /** Tells the groups of keys. */
  readonly state: KeyInHands["state"];
  /** undefined: results leave as they are. */
  readonly process: WindowFunction | undefined;
  /** Default: there are none. */
  readonly states?: WindowStates;
}

export class WindowOutput {
  private readonly operator: string;
  private readonly state: KeyInHands["state"];
  private readonly downstream: Collect<unknown>;
  private readonly process: WindowFunction | undefined;
  private readonly context: FiringContext;

  constructor({ operator, outputs, state, process, states = NO_STATES }: WindowOutputOptions) {
    this.operator = operator;
    this.state = state;
    this.downstream = outputs.main;
    this.process = process;
    this.context = new FiringContext({ operator, outputs, state, states });
  }

  /** Emits what a window comes to. `held`: what `contents` has read for it. */
  fire(contents: Resulting, held: unknown, firing: Firing): void {
    if (this.process !== undefined) this.call(this.process, contents, held, firing);
    else this.downstream(this.resultOf(contents, held, firing.key), firing.timestamp);
  }

  private resultOf(contents: Resulting, held: unknown, key: Key): unknown {
    try {
      const result = contents.result(held);
      if (!isAnswer(result)) refuseAnswer(this.operator, "getResult answered", result);
      return result;
    } catch (error) {
      throw failureAtKey(this.operator, error, this.state, key);
    }
  }

  private call(process: WindowFunction, contents: Resulting, held: unknown, firing: Firing): void {
    const { context } = this;
    try {
      context.begin(firing);
      const returned = process(contents.result(held), context);
      if (returned !== undefined) {
        if (!isAnswer(returned)) refuseAnswer(this.operator, "the window function answered", returned);
        context.emit(returned);
      }
      context.finish(undefined);
    } catch (error) {
      throw context.failureOf(error);
    }
  }
}
