/**
 * XState machines as one process of the model checker.
 *
 * Owns: what a machine's effects mean to the checker, and every alternative of a step. Does not own: the order of
 * events inside the process (composition.ts).
 */
import type { AnyMachineSnapshot } from "xstate";
import { canonical } from "./checker/interner.ts";
import {
  type ActorSpec,
  type ActorState,
  type ActorStep,
  CompositionRun,
  type CompositionState,
  emptyComposition,
  type Letter,
  type Outcome,
} from "./composition.ts";
import type { Effect, Event, ProcessModel, Step, View } from "./process.ts";
import { leaves, type MachineEffect } from "./pure-machine.ts";
import { showFields } from "./story.ts";

/** Explores every option. Use it for what a machine cannot decide: whether a store takes effect, answers, or fails. */
export type Choose = <const Option extends string>(...options: readonly Option[]) => Option;

/** Effects of the checker itself may stand among the outcomes. */
export type ProcessOutcome = Effect | Exclude<Outcome<Effect>, { kind: "outside" }>;

export interface ComposeOptions<Durable> {
  readonly id: string;
  readonly durable: Durable;
  readonly starts?: "first" | "later";
  readonly neverCrashes?: boolean;
  /** The actors that every life of the process begins with; they start in this order. */
  actors(durable: Durable): Readonly<Record<string, ActorSpec>>;
  /** undefined: the default (composition.ts); an effect with neither is an error. */
  route(
    effect: MachineEffect,
    actor: string,
    choose: Choose,
    state: CompositionState,
  ): readonly ProcessOutcome[] | undefined;
  /** Which actors take a message or environment event; may be left out if there is only one actor. */
  address?(
    event: Event,
    state: CompositionState,
  ): readonly { readonly actor: string; readonly event: Event }[];
  /** Besides the awaited events, which are there by themselves. */
  environment?(state: CompositionState): readonly Event[];
  cost?(event: Event): string | undefined;
  /**
   * How many letters may wait in the inbox while other events are taken first (default 0: what actors tell each other
   * is taken at once). Truer to a host whose inbox already holds other events, and more states.
   */
  readonly lettersWaitingMax?: number;
  /** Called once for each different step: coverage, unhandled events. */
  observe?(step: ActorStep): void;
}

/** An awaited event that comes, or the next letter of the inbox. */
interface AwaitedEvent extends Event {
  readonly type: "composition.awaited";
  readonly key: string;
  readonly event: Event;
}
const NEXT_LETTER: Event = { type: "composition.next" };

export function composeProcess<Durable>(
  options: ComposeOptions<Durable>,
): ProcessModel<CompositionState, Durable> {
  const alternatives = (state: CompositionState, work: (run: CompositionRun<Effect>) => void) =>
    everyChoice((choose) => runOnce(options, state, choose, work));
  return {
    id: options.id,
    durable: options.durable,
    starts: options.starts ?? "later",
    neverCrashes: options.neverCrashes ?? false,
    boot: (durable) =>
      alternatives(emptyComposition, (run) => {
        run.post(...startLetters(options.actors(durable)));
        run.takeAll();
      }),
    step: (state, event) =>
      alternatives(state, (run) => {
        receive(options, run, event);
        do run.takeNext();
        while (run.waiting > (options.lettersWaitingMax ?? 0));
      }),
    environment: (state) => environment(options, state),
    cost: (event) => options.cost?.(isAwaited(event) ? event.event : event),
    key: stateKey,
    show: showState,
    showEvent: (event) =>
      showFields(isAwaited(event) ? { ...event.event, type: `${event.key}: ${event.event.type}` } : event),
  };
}

/** The state of one actor, for invariants; undefined: the process is down or the actor is not there. */
export function actorIn(view: View, process: string, actor: string): AnyMachineSnapshot | undefined {
  return view.local<CompositionState>(process)?.actors.get(actor)?.snapshot;
}

function runOnce<Durable>(
  options: ComposeOptions<Durable>,
  state: CompositionState,
  choose: Choose,
  work: (run: CompositionRun<Effect>) => void,
): Step<CompositionState> {
  const chosen: string[] = [];
  const noted: Choose = (...choices) => {
    const choice = choose(...choices);
    chosen.push(choice);
    return choice;
  };
  const route = (effect: MachineEffect, actor: string, now: CompositionState) =>
    options.route(effect, actor, noted, now)?.map(toOutcome);
  const run = new CompositionRun<Effect>(state, route, options.observe ?? (() => {}));
  work(run);
  return { state: run.state, effects: run.outside, note: chosen.join(", ") };
}

function toOutcome(outcome: ProcessOutcome): Outcome<Effect> {
  return outcome.kind === "send" || outcome.kind === "store" ? { kind: "outside", effect: outcome } : outcome;
}

function startLetters(actors: Readonly<Record<string, ActorSpec>>): Letter[] {
  return Object.entries(actors).map(([actor, start]) => ({ actor, content: { start, removable: false } }));
}

function receive<Durable>(options: ComposeOptions<Durable>, run: CompositionRun<Effect>, event: Event): void {
  if (event === NEXT_LETTER) return;
  if (isAwaited(event)) {
    const { actor } = run.state.awaited.get(event.key)!;
    run.settle(event.key);
    run.postFirst({ actor, content: { event: event.event } });
    return;
  }
  const addressed = options.address?.(event, run.state) ?? [{ actor: onlyActor(run.state), event }];
  for (const letter of addressed.toReversed())
    run.postFirst({ actor: letter.actor, content: { event: letter.event } });
}

function onlyActor({ actors }: CompositionState): string {
  const [actor] = actors.keys();
  if (actor === undefined || actors.size > 1) throw new Error("a process of several actors needs `address`");
  return actor;
}

function environment<Durable>(options: ComposeOptions<Durable>, state: CompositionState): Event[] {
  const awaited = [...state.awaited].flatMap(([key, { events }]) =>
    events.map((event): AwaitedEvent => ({ type: "composition.awaited", key, event })),
  );
  const next = state.inbox.length > 0 ? [NEXT_LETTER] : [];
  return [...next, ...awaited, ...(options.environment?.(state) ?? [])];
}

function isAwaited(event: Event): event is AwaitedEvent {
  return event.type === "composition.awaited";
}

/** Runs again and again, each time with the next sequence of choices, until every sequence was seen. */
function everyChoice<Result>(run: (choose: Choose) => Result): Result[] {
  const results: Result[] = [];
  let script: number[] = [];
  do {
    const sizes: number[] = [];
    results.push(
      run((...options) => {
        const choice = script[sizes.length] ?? 0;
        sizes.push(options.length);
        return options[choice]!;
      }),
    );
    script = nextScript(
      sizes.map((_, index) => script[index] ?? 0),
      sizes,
    );
  } while (script.length > 0);
  return results;
}

/** Counts up in the number system whose digits have these sizes; empty after the last number. */
function nextScript(script: readonly number[], sizes: readonly number[]): number[] {
  const last = script.findLastIndex((choice, index) => choice + 1 < sizes[index]!);
  return last < 0 ? [] : [...script.slice(0, last), script[last]! + 1];
}

const actorKeys = new WeakMap<AnyMachineSnapshot, string>();

function actorKey({ snapshot }: ActorState): string {
  const key = actorKeys.get(snapshot) ?? canonical([snapshot.value, snapshot.context]);
  actorKeys.set(snapshot, key);
  return key;
}

function stateKey({ actors, awaited, inbox }: CompositionState): string {
  const parts = [...actors].map(([name, actor]) => `${name} ${actorKey(actor)}`).sort();
  const waiting = [...awaited].sort(([a], [b]) => (a < b ? -1 : 1));
  return [...parts, canonical(waiting), canonical(inbox.map(letterKey))].join("\n");
}

/** A start letter holds a machine, which is no plain data; its name and input say enough. */
function letterKey({ actor, content }: Letter): unknown {
  return "start" in content
    ? [actor, "start", content.start.machine.id, content.start.input]
    : [actor, content.event];
}

function showState({ actors }: CompositionState): string {
  const shown = [...actors].map(([name, { snapshot }]) => `${name} ${leaves(snapshot).join("+")}`);
  return `[${shown.join(", ")}]`;
}
