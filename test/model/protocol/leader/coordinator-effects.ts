/** What the effects of a coordinator's machines do, as in the handlers of src/runtime/leader/job-runtime.ts. */

import type { CheckpointInput } from "../../../../machines/leader/checkpoints/checkpoint-events.ts";
import { checkpointOptionsOf } from "../../../../machines/leader/checkpoints/checkpoint-options.ts";
import type { CheckpointingEffects } from "../../../../machines/leader/checkpoints/checkpointing-events.ts";
import type { JobEffects } from "../../../../machines/leader/job-events.ts";
import type { RequestAnswer } from "../../../../machines/leader/requests/request-events.ts";
import type { AbortReason, CheckpointRequest, JobRecord } from "../../../../machines/protocol.ts";
import { droppedBy, factsOf, type RecordChange } from "../../../../machines/record.ts";
import {
  inputOf,
  madeOf,
  messageOf,
  receiversOf,
  toldActors,
  type WiredEvent,
  wireInside,
  wires,
} from "../../../../machines/wiring.ts";
import { checkpointingInput } from "../../../../src/runtime/leader/checkpoints/checkpointing-input.ts";
import { canonical } from "../../checker/interner.ts";
import type { CompositionState } from "../../composition.ts";
import type { Choose, ProcessOutcome } from "../../machine-process.ts";
import type { Event, StoreEffect } from "../../process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import { type Bounds, regionsIn } from "../bounds.ts";
import { checkpointsIn, letterFor, type ToActor, wakeLetters } from "../held-actors.ts";
import { change, memoryOf, passed } from "../memory.ts";
import { nonceOf } from "../target.ts";
import type { Variant } from "../variant.ts";
import {
  checkpointActor,
  type Deployment,
  type ModelCheckpoint,
  type ModelSavepoint,
  objectName,
  objectsOf,
  RECORD,
  type RecordWrite,
  snapshotObjects,
} from "../words.ts";
import type { Answered, CoordinatorDurable, Memory } from "./coordinator-memory.ts";
import { afterEnd } from "./failure-streak.ts";
import { WRITER, type WriteAnswer, type WriterContext } from "./record-writer.ts";
import { inputFor, jobFacts, requestsIn } from "./requests.ts";

export class Routing {
  private readonly id: string;
  private readonly token: number;
  private readonly bounds: Bounds;
  private readonly variant: Variant;
  private readonly choose: Choose;
  private readonly state: CompositionState;

  constructor(
    id: string,
    token: number,
    bounds: Bounds,
    variant: Variant,
    choose: Choose,
    state: CompositionState,
  ) {
    this.id = id;
    this.token = token;
    this.bounds = bounds;
    this.variant = variant;
    this.choose = choose;
    this.state = state;
  }

  route({ type, params }: MachineEffect, actor: string): readonly ProcessOutcome[] | undefined {
    const generation = Number(params.generation);
    const generations = params.generations as readonly number[];
    const checkpointId = Number(params.checkpointId);
    switch (type) {
      case "send.write":
        return [{ kind: "send", to: RECORD, message: params as unknown as RecordWrite }];
      case "pass.event":
        if ((params.told as Event).type === "request.asked") return this.startRequest(params as never);
        return [
          { ...this.deliver(String(params.actor), params.told as Event), first: true },
          ...this.count(String(params.actor), params.told as Event),
        ];
      case "answer.request":
        return this.answer(params as unknown as ChangeAnswered);
      case "answer.client":
        return this.answerClient(actor, params.answer as RequestAnswer);
      case "timer.start":
      case "timer.cancel":
        // An outcome is remembered for longer than any client asks.
        return roleOf(actor) === "request" ? [] : undefined;
      case "store.claim":
        return this.request(actor, { change: "claim", token: this.token });
      case "store.generation":
        return this.request(actor, {
          change: "generation",
          generation,
          regions: params.regions as readonly number[],
          nonce: nonceOf(generation),
          completed: Number(params.completed),
        });
      case "store.settling":
        return this.request(actor, { change: "settling", settleTo: params.settleTo as never });
      case "store.terminal":
        return this.request(actor, {
          change: "terminal",
          status: params.status as never,
          keepsAll: params.keepsAll === true,
        });
      case "store.reservation":
        return this.request(actor, {
          change: "reservation",
          reservedCheckpointId: Number(params.reservedCheckpointId),
        });
      case "store.decision":
        return this.decide(actor, checkpointId, params.allFinished === true);
      case "store.savepoint":
        return [change<Memory>((memory) => withSavepoint(memory, checkpointId, false))];
      case "store.savepointEntry":
        return this.keepSavepoint(actor, checkpointId);
      case "store.manifest":
        // It may be written although the answer says otherwise, or never comes.
        return [
          { kind: "store", update: addTo("manifests", checkpointId), note: `manifest ${checkpointId}` },
        ];
      case "start.policies":
        return this.startPolicies(params as unknown as JobEffects["start.policies"]);
      case "plan.recovery": {
        const planned = (this.record.checkpoints.at(-1) as ModelCheckpoint | undefined) ?? null;
        return [
          ...(this.variant.faults.deploysThePlan ? [change<Memory>(() => ({ planned }))] : []),
          this.soon(actor, "recovery", { type: "recovery.planned" }),
        ];
      }
      case "await.slots":
        return [this.soon(actor, "slots", { type: "slots.available" }), this.place()];
      case "send.deployment":
        return this.deploy(generations, params.settle === true);
      case "send.trigger": {
        const options = checkpointOptionsOf(this.record.checkpointing, 0, this.requestOf(actor), undefined);
        return this.send(actor, { type, params }, { options });
      }
      case "send.aborted":
        return [
          ...this.send(actor, { type, params }),
          ...this.recordAbort(actor, checkpointId, generation, params.reason as AbortReason),
          ...this.tellRequests("request.aborted", params, this.abortFacts(actor)),
        ];
      case "send.teardown":
        return [
          ...(this.bounds.teardown ? this.send(actor, { type, params }) : []),
          change<Memory>(({ live }) => ({ live: live.filter((one) => !generations.includes(one)) })),
        ];
      case "start.checkpoint":
        return this.startCheckpoint(params as unknown as CheckpointingEffects["start.checkpoint"]);
      case "release.snapshots":
        return this.releaseSnapshots(checkpointId);
      case "release.job":
        return [
          ...this.tellRequests("job.ended", params),
          ...(this.bounds.objects && this.isOver ? [this.free(this.swept(Number.MAX_SAFE_INTEGER))] : []),
        ];
      case "report.recovery":
        return [
          ...this.tellInside(actor, { type, params }),
          ...(this.bounds.objects ? [this.free(this.swept(this.lastId))] : []),
        ];
      case "report.failure": {
        const { where, reason } = params as { where: string; reason: string };
        const failure = { atMs: 0, generation: this.record.generation, where, reason };
        return [
          ...this.request("", { change: "failure", failure }),
          ...this.tellRequests("job.failed", { where: "", reason: "" }),
          ...this.tellInside(actor, { type, params }),
        ];
      }
      default:
        if (type.startsWith("tell.")) return this.tell(actor, { type, params });
        return messageOf(roleOf(actor), type) && this.send(actor, { type, params });
    }
  }

  private get record(): JobRecord {
    return (this.state.actors.get(WRITER)!.snapshot.context as WriterContext).record;
  }

  private get memory(): Memory {
    return memoryOf(this.state);
  }

  private get isOver(): boolean {
    return this.record.status === "finished" || this.record.status === "canceled";
  }

  private get lastId(): number {
    return (this.state.actors.get("checkpointing")!.snapshot.context as { lastId: number }).lastId;
  }

  private request(actor: string, wanted: RecordChange): ProcessOutcome[] {
    return [
      { kind: "tell", actor: WRITER, event: { type: "change.requested", actor, change: wanted } as Event },
    ];
  }

  /** The waiting actor gets its answer first, then what it was told meanwhile. */
  private answer({ actor, change: wanted, answer }: ChangeAnswered): ProcessOutcome[] {
    if (answer.outcome === "lost") return this.wake(actor, { type: "record.lost" });
    const facts = factsOf(answer.record);
    if (answer.outcome === "refused") return this.wake(actor, { type: "record.refused", facts } as Event);
    return [
      ...this.wake(actor, { type: "record.stored", facts } as Event),
      ...(this.bounds.objects ? [this.reap(answer.before, answer.record)] : []),
      ...this.follow(actor, wanted),
    ];
  }

  /** What the host does once a change is durable. */
  private follow(actor: string, wanted: RecordChange): ProcessOutcome[] {
    switch (wanted.change) {
      case "generation": {
        const { generation, regions: raised } = wanted;
        const begun = raised.map((_, index) => generation + index);
        return [change<Memory>(({ live }) => ({ live: [...live, ...begun], raised, pending: {} }))];
      }
      case "decision":
        return this.complete(actor, "checkpoint.decided", wanted.checkpoint.checkpointId, []);
      case "savepoint": {
        const { checkpointId, snapshots } = wanted.savepoint as ModelSavepoint;
        // What the subtasks uploaded was copied.
        return this.complete(
          actor,
          "savepoint.recorded",
          checkpointId,
          snapshotObjects(checkpointId, snapshots),
        );
      }
      default:
        return [];
    }
  }

  private complete(
    actor: string,
    event: "checkpoint.decided" | "savepoint.recorded",
    checkpointId: number,
    uploaded: readonly string[],
  ): ProcessOutcome[] {
    const { request, savepoint } = this.requestOf(actor);
    return [
      change<Memory>(({ pending, savepoints, due }) => ({
        pending: without(pending, checkpointId),
        savepoints: without(savepoints, checkpointId),
        due: this.bounds.objects ? [...due, ...uploaded] : due,
      })),
      ...this.tellRequests(
        event,
        { checkpointId },
        { request, location: savepoint, completed: factsOf(this.record).completed },
      ),
    ];
  }

  private startRequest({ actor, told }: ToActor & { readonly told: Event }): ProcessOutcome[] {
    const { request: machine } = this.variant;
    return [
      { kind: "create", actor, machine, input: inputFor(actor) },
      { kind: "tell", actor, event: told },
    ];
  }

  /** An outcome that a client is told, also when it asks again; it may have failed although its savepoint is there. */
  private answerClient(actor: string, { state }: RequestAnswer): StoreEffect[] {
    if (state !== "completed" && state !== "failed") return [];
    const { request } = inputFor(actor);
    const { checkpointId } = this.state.actors.get(actor)!.snapshot.context as { checkpointId: number };
    const answered: Answered = { request, state, checkpointId };
    const note = `tells that ${request} has ${state} as ${checkpointId}`;
    return [{ kind: "store", update: addTo("answered", answered), note }];
  }

  /** The event of a wire that leads to requests. */
  private tellRequests(name: WiredEvent, params: object, facts: object = {}): ProcessOutcome[] {
    const event = madeOf(wires[name], params, facts);
    const living = requestsIn(this.state);
    return receiversOf(name, event, () => living)
      .filter((actor) => living.includes(actor))
      .map((actor) => this.deliver(actor, event));
  }

  private abortFacts(actor: string) {
    const { phase, settleTo } = jobFacts(this.state);
    const { completed } = factsOf(this.record);
    return { request: this.requestOf(actor).request, detail: "", completed, phase, settleTo };
  }

  private requestOf(actor: string): CheckpointRequest {
    return (this.state.actors.get(actor)!.snapshot.context as { request: CheckpointRequest }).request;
  }

  private wake(actor: string, event: Event): ProcessOutcome[] {
    if (actor === "") return [];
    return wakeLetters(this.state, actor, event)
      .toReversed()
      .map((letter) => ({ kind: "tell", first: true, ...letter }));
  }

  private count(actor: string, told: Event): ProcessOutcome[] {
    const tolerable = this.bounds.tolerableFailures;
    if (actor !== "checkpointing" || tolerable === undefined) return [];
    const streak = afterEnd(this.memory.streak, this.state, told, tolerable);
    return streak === this.memory.streak ? [] : [change<Memory>(() => ({ streak }))];
  }

  private tell(actor: string, { type, params }: MachineEffect): ProcessOutcome[] {
    const event = params.event as Event;
    const targets = toldActors(roleOf(actor), type, params, () => this.checkpoints);
    const paid = change<Memory>(({ streak }) => ({ streak: { ...streak, owed: streak.owed - 1 } }));
    return [
      ...(event.type === "checkpoints.failed" ? [paid] : []),
      // What is told before it may make the target wait.
      ...targets.map((target) => ({ kind: "tell" as const, ...passed(target, event) })),
    ];
  }

  /** Those too that have yet to begin: the real ones begin at once. */
  private get checkpoints(): string[] {
    const begun = Object.keys(this.memory.pending).map((id) => checkpointActor(Number(id)));
    return unique([...checkpointsIn(this.state), ...begun]);
  }

  private deliver(actor: string, event: Event) {
    return { kind: "tell" as const, ...letterFor(this.state, actor, event) };
  }

  /** At once, or when its time has come. */
  private soon(actor: string, id: string, event: Event): ProcessOutcome {
    return this.bounds.slowRecovery ? { kind: "await", id, events: [event] } : { kind: "tell", actor, event };
  }

  private place(): ProcessOutcome {
    const kept = this.memory.live.flatMap((generation) => this.subtasksOf(generation));
    const placement = Object.entries(this.bounds.subtasks).map(([subtask, workers]) => [
      subtask,
      kept.includes(subtask)
        ? this.memory.placement[subtask]!
        : workers.length === 1
          ? workers[0]!
          : this.choose(...workers),
    ]);
    return change<Memory>(() => ({ placement: Object.fromEntries(placement) }));
  }

  private deploy(generations: readonly number[], settle: boolean): ProcessOutcome[] {
    const { placement, planned } = this.memory;
    const latest = this.record.checkpoints.at(-1) as ModelCheckpoint | undefined;
    const restore = this.variant.faults.deploysThePlan ? (planned ?? undefined) : this.restorable(latest);
    return generations.flatMap((generation) =>
      this.subtasksOf(generation).map((subtask) => ({
        kind: "send" as const,
        to: placement[subtask]!,
        message: {
          type: "generation.deploy",
          generation,
          leader: this.id,
          subtask,
          restoredCheckpointId: restore?.checkpointId ?? 0,
          restored: restore?.snapshots[subtask] ?? null,
          settle,
        } satisfies Deployment,
      })),
    );
  }

  private subtasksOf(generation: number): readonly string[] {
    return regionsIn(this.bounds)[this.record.generations.indexOf(generation)] ?? [];
  }

  private restorable(latest: ModelCheckpoint | undefined): ModelCheckpoint | undefined {
    const savepoint = this.record.savepoints.at(-1) as ModelSavepoint | undefined;
    const newer = savepoint !== undefined && savepoint.checkpointId > (latest?.checkpointId ?? 0);
    return this.variant.faults.restoresSavepoints && newer ? (savepoint as never) : latest;
  }

  /**
   * The message that the effect becomes, to each of its generations, or to all that were there when its generation
   * was the newest; only while they are mine to speak to (LG1).
   */
  private send(actor: string, { type, params }: MachineEffect, facts: object = {}): ProcessOutcome[] {
    const wire = messageOf(roleOf(actor), type)!;
    // What makes a subtask report again.
    const once = this.bounds.reportsOnce === true && wire.event === "checkpoint.completed";
    const { live, placement } = this.memory;
    const generations = params.generations as readonly number[] | undefined;
    const isMeant = (one: number) => generations?.includes(one) ?? one <= Number(params.generation);
    return live.filter(isMeant).flatMap((generation) =>
      this.subtasksOf(generation).map((subtask) => ({
        kind: "send" as const,
        to: placement[subtask]!,
        message: madeOf(wire, { ...params, generation }, facts),
        once,
      })),
    );
  }

  /** The clock stands still, and chance has no say. */
  private tellInside(actor: string, { type, params }: MachineEffect): ProcessOutcome[] {
    const wire = wireInside(roleOf(actor), type)!;
    return wire.to.map((target) => this.deliver(target, madeOf(wire, params, { atMs: 0, chance: 0 })));
  }

  private startPolicies(params: JobEffects["start.policies"]): ProcessOutcome[] {
    const { checkpointing, restart } = this.record;
    const block = this.bounds.block ?? 4;
    return [
      {
        kind: "create",
        actor: "restart",
        machine: this.variant.restart,
        input: inputOf("restart", params, { strategy: restart }),
      },
      {
        kind: "create",
        actor: "checkpointing",
        machine: this.variant.checkpointing,
        input: inputOf("checkpointing", params, {
          ...checkpointingInput(checkpointing),
          savepointsMax: this.bounds.savepointsMax ?? 8,
          block,
          chance: 0,
        }),
      },
    ];
  }

  private startCheckpoint(params: CheckpointingEffects["start.checkpoint"]): ProcessOutcome[] {
    const { checkpointId } = params;
    const { generation, generations, checkpointing } = this.record;
    return [
      {
        kind: "store",
        update: addTo("used", { checkpointId, generations }),
        note: `triggers ${checkpointId}`,
      },
      change<Memory>(({ pending }) => ({ pending: { ...pending, [checkpointId]: {} } })),
      {
        kind: "create",
        actor: checkpointActor(checkpointId),
        machine: this.variant.checkpoint,
        input: inputOf("checkpoint", params, {
          generation,
          generations,
          timeoutMs: checkpointing.timeoutMs,
          subtasks: Object.keys(this.bounds.subtasks),
        }),
      },
      ...this.tellRequests("request.begun", {}, { request: params.request.request }),
    ];
  }

  private decide(actor: string, checkpointId: number, allFinished: boolean): ProcessOutcome[] {
    const snapshots = this.memory.pending[checkpointId];
    if (snapshots === undefined)
      return this.wake(actor, { type: "record.refused", facts: factsOf(this.record) } as Event);
    const { generation, generations } = this.state.actors.get(actor)!.snapshot.context as CheckpointInput;
    const checkpoint: ModelCheckpoint = {
      checkpointId,
      generation,
      generations,
      manifest: { name: objectName.manifest(checkpointId), bytes: 0, digest: "" },
      completedAtMs: 0,
      bytes: 0,
      allFinished,
      snapshots,
    };
    return this.request(actor, {
      change: "decision",
      checkpoint,
      savepoint: this.entryOf(actor, checkpointId),
    });
  }

  private keepSavepoint(actor: string, checkpointId: number): ProcessOutcome[] {
    const savepoint = this.entryOf(actor, checkpointId);
    if (savepoint === null) return this.wake(actor, { type: "record.lost" });
    return this.request(actor, { change: "savepoint", savepoint });
  }

  private entryOf(actor: string, checkpointId: number): ModelSavepoint | null {
    const known = this.memory.savepoints[checkpointId];
    if (known?.written !== true) return null;
    const { snapshots } = known;
    const { request } = this.requestOf(actor);
    const { generation } = this.state.actors.get(actor)!.snapshot.context as { generation: number };
    return { checkpointId, generation, request, location: "there", completedAtMs: 0, bytes: 0, snapshots };
  }

  private releaseSnapshots(checkpointId: number): ProcessOutcome[] {
    const isWritten = this.memory.savepoints[checkpointId]?.written === true;
    const disposed = isWritten ? [disposal(checkpointId)] : [];
    const snapshots = this.memory.pending[checkpointId];
    if (snapshots === undefined) return disposed;
    const names = [objectName.manifest(checkpointId), ...snapshotObjects(checkpointId, snapshots)];
    return [
      change<Memory>(({ givenUp, pending, savepoints }) => ({
        givenUp: this.bounds.objects ? { ...givenUp, [checkpointId]: names } : givenUp,
        pending: without(pending, checkpointId),
        savepoints: without(savepoints, checkpointId),
      })),
      ...disposed,
    ];
  }

  /**
   * For a user who asks why, and before anything of it is deleted (P48); nothing of it can be told apart where objects
   * are left out.
   */
  private recordAbort(
    actor: string,
    checkpointId: number,
    generation: number,
    reason: AbortReason,
  ): ProcessOutcome[] {
    if (!this.bounds.objects || this.endsInOrder) return [];
    const requested = this.requestOf(actor).reason;
    const words = { requested, reason, detail: "", startedAtMs: 0, abortedAtMs: 0 };
    const aborted = { checkpointId, generation, ...words, acknowledged: 0, missing: [] };
    return this.request("", { change: "abort", aborted });
  }

  /** What is pending then was not needed any more. */
  private get endsInOrder(): boolean {
    const { settleTo: end } = jobFacts(this.state);
    return factsOf(this.record).allFinished || end === "finished" || end === "stopped" || end === "suspended";
  }

  /** The write is stored: what it has made unreachable may go (P16), and what it says is given up (P48). */
  private reap(before: JobRecord, after: JobRecord): ProcessOutcome {
    const kept = reachable(after);
    const dropped = (droppedBy(before, after) as ModelCheckpoint[]).flatMap(objectsOf);
    return change<Memory>(({ due, deletable, givenUp }) => {
      const recorded = after.aborted.filter(({ checkpointId }) => givenUp[checkpointId] !== undefined);
      const names = recorded.flatMap(({ checkpointId }) => givenUp[checkpointId]!);
      const emptied = recorded.map(({ checkpointId }) => [checkpointId, []] as const);
      return {
        due: [],
        givenUp: { ...givenUp, ...Object.fromEntries(emptied) },
        deletable: unique([...deletable, ...due, ...dropped, ...names].filter((name) => !kept.has(name))),
      };
    });
  }

  private free(names: readonly string[]): ProcessOutcome {
    return change<Memory>(({ deletable }) => ({ deletable: unique([...deletable, ...names]) }));
  }

  /** P21: whatever ids up to this one, all of generations that are over, may have left behind. */
  private swept(lastId: number): string[] {
    const kept = reachable(this.record);
    const ids = Array.from(
      { length: Math.min(lastId, this.record.reservedCheckpointId) },
      (_, index) => index + 1,
    );
    const over = this.isOver || this.variant.faults.sweepsTheLiving;
    const subtasks = over
      ? Object.keys(this.bounds.subtasks)
      : this.memory.raised.flatMap((region) => regionsIn(this.bounds)[region] ?? []);
    const names = ids.flatMap((checkpointId) => [
      objectName.manifest(checkpointId),
      ...subtasks.flatMap((subtask) => [
        objectName.state(checkpointId, subtask),
        objectName.staged({ checkpointId } as never, subtask),
      ]),
    ]);
    return names.filter((name) => !kept.has(name));
  }
}

interface ChangeAnswered {
  readonly actor: string;
  readonly change: RecordChange;
  readonly answer: WriteAnswer;
}

function reachable(record: JobRecord): Set<string> {
  return new Set((record.checkpoints as ModelCheckpoint[]).flatMap(objectsOf));
}

const roleOf = (actor: string): string => actor.split("/", 1)[0]!;

export const unique = (names: readonly string[]): string[] => [...new Set(names)].sort();

export function addTo<Field extends keyof CoordinatorDurable>(field: Field, value: unknown) {
  return (durable: CoordinatorDurable) => {
    const list = durable[field] as readonly unknown[];
    return list.some((one) => canonical(one) === canonical(value))
      ? durable
      : { ...durable, [field]: [...list, value] };
  };
}

function disposal(checkpointId: number): StoreEffect {
  const update = (durable: CoordinatorDurable) => ({
    ...durable,
    savepoints: durable.savepoints.filter((id) => id !== checkpointId),
  });
  return { kind: "store", update, note: `dispose of savepoint ${checkpointId}` };
}

export function withSavepoint(
  { pending, savepoints }: Memory,
  checkpointId: number,
  written: boolean,
): Partial<Memory> {
  const snapshots = pending[checkpointId] ?? {};
  return { savepoints: { ...savepoints, [checkpointId]: { snapshots, written } } };
}

export function withWritten({ savepoints }: Memory, checkpointId: number): Partial<Memory> {
  const known = savepoints[checkpointId];
  return known === undefined
    ? {}
    : { savepoints: { ...savepoints, [checkpointId]: { ...known, written: true } } };
}

export function deletion(name: string): StoreEffect {
  return { kind: "store", update: addTo("deleted", name), note: `delete ${name}` };
}

function without<Value>(all: Readonly<Record<number, Value>>, id: number): Readonly<Record<number, Value>> {
  const { [id]: _, ...rest } = all;
  return rest;
}
