/**
 * What the model checker explores: processes, the effects of their steps, and what an invariant may look at.
 *
 * A process is deterministic up to the alternatives it lists. It owns a local state, lost by a crash, and a durable
 * state, kept by it. Both, and every message, are plain data: they must survive JSON.
 */

export interface Event {
  readonly type: string;
}

/** A message once sent may arrive any number of times, in any order, or never: NATS at its worst. */
export interface SendEffect {
  readonly kind: "send";
  readonly to: string;
  readonly message: Event;
  /** Delivery consumes it: an answer, or an entry of a reliable queue. Sent twice, it arrives twice. */
  readonly once?: boolean;
  /** Lost when its receiver crashes: it waited in the receiver's memory or in its connection. */
  readonly volatile?: boolean;
}

/** Changes the durable state of the process itself: `patch` replaces fields, `update` replaces the whole. */
export type StoreEffect =
  | { readonly kind: "store"; readonly patch: object }
  | { readonly kind: "store"; readonly update: (durable: never) => unknown; readonly note: string };

export type Effect = SendEffect | StoreEffect;

export interface Step<State> {
  readonly state: State;
  /** In order. A crash may fall between any two of them. */
  readonly effects: readonly Effect[];
  /** Which alternative this is, for the story of a counterexample. */
  readonly note?: string;
}

export interface ProcessModel<State = unknown, Durable = unknown> {
  readonly id: string;
  /** Durable state before the first boot. */
  readonly durable: Durable;
  /** "later" (default): boots at any time or never, as a standby does. "first": runs from the beginning. */
  readonly starts?: "first" | "later";
  /** A server of the model, such as the key-value store: it may be slow, but never loses its local state. */
  readonly neverCrashes?: boolean;
  /** Every alternative of starting from the durable state. */
  boot(durable: Durable): readonly Step<State>[];
  /** Every alternative of taking the event; none: the event is not handled in this state. */
  step(state: State, event: Event): readonly Step<State>[];
  /** Events that need no message and may happen in this state: armed timers, answers that are due, requests. */
  environment?(state: State): readonly Event[];
  /** Names the budget that an environment event is paid from; undefined: it is free. */
  cost?(event: Event): string | undefined;
  /** Equal for equal states, different for different ones. */
  key(state: State): string;
  /** Short forms for the story of a counterexample. */
  show?(state: State): string;
  showEvent?(event: Event): string;
}

export interface View {
  /** undefined: the process is down. */
  local<State>(id: string): State | undefined;
  durable<Durable>(id: string): Durable;
}

/** One step as a step invariant sees it. A crash in the middle shows only the effects that came before it. */
export interface StepTaken {
  readonly process: string;
  readonly kind: "boots" | "receives" | "meets" | "crashes";
  readonly event?: Event;
  readonly effects: readonly Effect[];
}
