/** What the effects of a coordinator's machines find in its process, and what they make happen inside it. */
import type { CheckpointRequest, JobRecord } from "../../../../machines/protocol.ts";
import { factsOf, type RecordChange } from "../../../../machines/record.ts";
import { madeOf, receiversOf, type WiredEvent, wires } from "../../../../machines/wiring.ts";
import { canonical } from "../../checker/interner.ts";
import type { CompositionState } from "../../composition.ts";
import type { Choose, ProcessOutcome } from "../../machine-process.ts";
import type { Event } from "../../process.ts";
import type { Bounds } from "../bounds.ts";
import { checkpointsIn, letterFor, wakeLetters } from "../held-actors.ts";
import { memoryOf } from "../memory.ts";
import { nameOfPlan, type PlanName, regionsIn } from "../plans.ts";
import type { Variant } from "../variant.ts";
import { checkpointActor } from "../words.ts";
import type { CoordinatorDurable, Memory } from "./coordinator-memory.ts";
import { WRITER, type WriterContext } from "./records/record-writer.ts";
import { jobFacts, requestsIn } from "./requests.ts";

export interface LeaderHostOptions {
  readonly id: string;
  readonly token: number;
  readonly bounds: Bounds;
  readonly variant: Variant;
  readonly choose: Choose;
  readonly state: CompositionState;
}

export class LeaderHost {
  readonly id: string;
  readonly token: number;
  readonly bounds: Bounds;
  readonly variant: Variant;
  readonly choose: Choose;
  readonly state: CompositionState;

  constructor({ id, token, bounds, variant, choose, state }: LeaderHostOptions) {
    this.id = id;
    this.token = token;
    this.bounds = bounds;
    this.variant = variant;
    this.choose = choose;
    this.state = state;
  }

  get record(): JobRecord {
    return (this.state.actors.get(WRITER)!.snapshot.context as WriterContext).record;
  }

  get plan(): PlanName {
    return nameOfPlan(this.record.plan);
  }

  get memory(): Memory {
    return memoryOf(this.state);
  }

  /** Nothing of it is retained. */
  get isOver(): boolean {
    return this.record.status === "finished" || this.record.status === "canceled";
  }

  get lastId(): number {
    return (this.state.actors.get("checkpointing")!.snapshot.context as { lastId: number }).lastId;
  }

  /** What is pending at the end of the job was not needed any more. */
  get endsInOrder(): boolean {
    const { settleTo: end } = jobFacts(this.state);
    return factsOf(this.record).allFinished || end === "finished" || end === "stopped" || end === "suspended";
  }

  /** Those too that have yet to begin: the real ones begin at once. */
  get checkpoints(): string[] {
    const begun = Object.keys(this.memory.pending).map((id) => checkpointActor(Number(id)));
    return unique([...checkpointsIn(this.state), ...begun]);
  }

  subtasksOf(generation: number): readonly string[] {
    return regionsIn(this.bounds, this.plan)[this.record.generations.indexOf(generation)] ?? [];
  }

  requestOf(actor: string): CheckpointRequest {
    return (this.state.actors.get(actor)!.snapshot.context as { request: CheckpointRequest }).request;
  }

  /** `actor` gets the answer; empty: none waits. */
  change(actor: string, wanted: RecordChange): ProcessOutcome[] {
    return [
      { kind: "tell", actor: WRITER, event: { type: "change.requested", actor, change: wanted } as Event },
    ];
  }

  wake(actor: string, event: Event): ProcessOutcome[] {
    if (actor === "") return [];
    return wakeLetters(this.state, actor, event)
      .toReversed()
      .map((letter) => ({ kind: "tell", first: true, ...letter }));
  }

  deliver(actor: string, event: Event) {
    return { kind: "tell" as const, ...letterFor(this.state, actor, event) };
  }

  /** At once, or when its time has come. */
  soon(actor: string, id: string, event: Event): ProcessOutcome {
    return this.bounds.slowRecovery ? { kind: "await", id, events: [event] } : { kind: "tell", actor, event };
  }

  /** The event of a wire that leads to requests. */
  tellRequests(name: WiredEvent, params: object, facts: object = {}): ProcessOutcome[] {
    const event = madeOf(wires[name], params, facts);
    const living = requestsIn(this.state);
    return receiversOf(name, event, () => living)
      .filter((actor) => living.includes(actor))
      .map((actor) => this.deliver(actor, event));
  }
}

export const roleOf = (actor: string): string => actor.split("/", 1)[0]!;

export const unique = (names: readonly string[]): string[] => [...new Set(names)].sort();

export function addTo<Field extends keyof CoordinatorDurable>(field: Field, value: unknown) {
  return (durable: CoordinatorDurable) => {
    const list = durable[field] as readonly unknown[];
    return list.some((one) => canonical(one) === canonical(value))
      ? durable
      : { ...durable, [field]: [...list, value] };
  };
}

export function without<Value>(
  all: Readonly<Record<number, Value>>,
  id: number,
): Readonly<Record<number, Value>> {
  const { [id]: _, ...rest } = all;
  return rest;
}
