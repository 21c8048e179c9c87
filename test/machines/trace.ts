/**
 * Golden traces: a scenario as a story that a person can read, one event a line.
 *
 *     # One subtask acknowledges, another dies: checkpoint 7 must abort.   (C2)
 *
 *     checkpoint  collecting -> aborting          subtask.failed subtask=map/1
 *       ! abort.checkpoint checkpointId=7 reason=subtask-failed
 *
 * Only what has changed is shown of an object that an event carries again and again, such as the facts of a job's
 * record.
 *
 * A trace changes only with the protocol: update one only if you can say why.
 */
import { isDeepStrictEqual } from "node:util";
import type { AnyMachineSnapshot } from "xstate";
import {
  type ActorSpec,
  type ActorStep,
  CompositionRun,
  type CompositionState,
  emptyComposition,
  type Letter,
  type Outcome,
} from "../model/composition.ts";
import type { Event } from "../model/process.ts";
import { leaves, type MachineEffect } from "../model/pure-machine.ts";
import type { Coverage } from "./coverage.ts";

export interface Scenario {
  /** What must happen and why, with the numbers of the rules that it shows. */
  readonly title: string;
  /** They start before the first step, in this order. */
  readonly actors: Readonly<Record<string, ActorSpec>>;
  /** Text is narration. With a single actor `to` may be left out. */
  readonly steps: readonly (string | ScenarioEvent)[];
  /** Effects that reach a sibling actor. All others are only told, and so is `tell.<actor>` to an actor not here. */
  readonly route?: (effect: MachineEffect, actor: string) => readonly Outcome<never>[] | undefined;
}

export interface ScenarioEvent {
  readonly to?: string;
  readonly event: Event;
}

const TRANSITION_WIDTH = 56;

/** The text for `toMatchFileSnapshot`. */
export function goldenTrace(scenario: Scenario, coverage?: Coverage): string {
  const writer = new TraceWriter(scenario, coverage);
  return writer.write();
}

class TraceWriter {
  private readonly lines: string[];
  private readonly scenario: Scenario;
  private readonly coverage: Coverage | undefined;
  private state: CompositionState = emptyComposition;
  private stepsOfEvent = 0;
  /** The object that was shown last, by event and field. */
  private readonly shown = new Map<string, Readonly<Record<string, unknown>>>();

  constructor(scenario: Scenario, coverage: Coverage | undefined) {
    this.scenario = scenario;
    this.coverage = coverage;
    this.lines = [`# ${scenario.title}`, ""];
  }

  write(): string {
    const actors = Object.entries(this.scenario.actors);
    for (const [actor, start] of actors) this.run(actor, { start, removable: false });
    for (const step of this.scenario.steps) {
      if (typeof step === "string") this.lines.push("", `# ${step}`);
      else this.run(step.to ?? actors[0]![0], { event: step.event });
    }
    return `${this.lines.join("\n")}\n`;
  }

  private run(actor: string, content: Letter["content"]): void {
    const route = (effect: MachineEffect, from: string, state: CompositionState) =>
      this.outcomes(effect, from, state);
    const run = new CompositionRun<never>(this.state, route, (step) => this.tell(step));
    this.stepsOfEvent = 0;
    run.post({ actor, content });
    run.takeAll();
    this.state = run.state;
    if (this.stepsOfEvent === 0)
      throw new Error(`no actor '${actor}' to take an event in '${this.scenario.title}'`);
  }

  private outcomes(effect: MachineEffect, actor: string, { actors }: CompositionState) {
    const routed = this.scenario.route?.(effect, actor);
    if (routed) return routed;
    const sibling = effect.type.replace(/^tell\./, "");
    return sibling !== effect.type && actors.has(sibling) ? undefined : [];
  }

  private tell(taken: ActorStep): void {
    this.coverage?.add(taken);
    // What an actor was told by a sibling stands under the event that set it off.
    const mark = this.stepsOfEvent++ === 0 ? "" : "> ";
    const transition = `${mark}${taken.actor}  ${change(taken)}`;
    const event = taken.event ? this.showEvent(taken.event) : "(start)";
    this.lines.push(`${transition.padEnd(TRANSITION_WIDTH)}  ${event}`);
    this.lines.push(...taken.step.effects.map(({ type, params }) => `  ! ${showNamed(type, params)}`));
  }

  private showEvent({ type, ...fields }: Event): string {
    const changed = Object.entries(fields).map(([field, value]) => [
      field,
      this.changes(`${type} ${field}`, value),
    ]);
    return showNamed(type, Object.fromEntries(changed));
  }

  private changes(place: string, value: unknown): unknown {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    if (place.endsWith(" options")) return value;
    const now = value as Readonly<Record<string, unknown>>;
    const before = this.shown.get(place) ?? {};
    this.shown.set(place, now);
    const isNew = ([field, part]: [string, unknown]) =>
      !(field in before) || !isDeepStrictEqual(before[field], part);
    return Object.fromEntries(Object.entries(now).filter(isNew));
  }
}

/** Only what changes; of a state in which nothing changes, whether the event was answered at all. */
function change({ before, step }: ActorStep): string {
  const after = leaves(step.snapshot);
  if (before === undefined) return `-> ${after.join(" + ")}`;
  const left = leaves(before).filter((leaf) => !after.includes(leaf));
  const entered = after.filter((leaf) => !leaves(before).includes(leaf));
  if (left.length > 0 || entered.length > 0) return `${left.join(" + ")} -> ${entered.join(" + ")}`;
  if (!step.handled) return `${staying(before)} (not handled)`;
  const quiet = step.effects.length === 0 && before.context === step.snapshot.context;
  return `${staying(before)}${quiet ? " (ignored)" : ""}`;
}

function staying({ value }: AnyMachineSnapshot): string {
  return typeof value === "string" ? value : Object.keys(value).join(" + ");
}

function showNamed(name: string, fields: Readonly<Record<string, unknown>>): string {
  return [
    name,
    ...Object.entries(fields).map(([field, value]) => `${field}=${showValue(value, field)}`),
  ].join(" ");
}

/** Every barrier carries options: only what is not usual of them is shown. */
const USUAL: Readonly<Record<string, unknown>> = {
  alignedTimeoutMs: 0,
  base: null,
  triggeredAtMs: 0,
  savepoint: null,
  stop: false,
};

/** JSON without its quotes: `{type:barrier.seen,ids:[1,2]}`. */
function showValue(value: unknown, name = ""): string {
  if (Array.isArray(value)) return `[${value.map((part) => showValue(part)).join(",")}]`;
  if (value === null || typeof value !== "object") return String(value);
  return `{${Object.entries(value)
    .filter(([field, part]) => name !== "options" || !(field in USUAL) || USUAL[field] !== part)
    .map(([field, part]) => `${field}:${showValue(part, field)}`)
    .join(",")}}`;
}
