/**
 * One coordinator process that leads the job: the real machines, hosted as in src/runtime/leader/job-runtime.ts.
 *
 * An actor that waits for the store or for its manifest takes nothing else meanwhile (H2): messages come later, what
 * siblings tell it is kept. A process that has ended does not come back: the one that leads again has a new token.
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { madeOf, receiversOf, type WiredEvent, wires } from "../../../../machines/wiring.ts";
import type { CompositionState } from "../../composition.ts";
import { composeProcess } from "../../machine-process.ts";
import type { Event, ProcessModel, StoreEffect } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { Bounds } from "../bounds.ts";
import { assertHeld, checkpointsIn, isHeld, letterFor, wakeLetters } from "../held-actors.ts";
import { changed, MEMORY, memoryOf } from "../memory.ts";
import { showActors } from "../story.ts";
import type { Variant } from "../variant.ts";
import { checkpointActor, objectName, type Snapshot } from "../words.ts";
import { route } from "./coordinator-effects.ts";
import type { CoordinatorDurable, Memory } from "./coordinator-memory.ts";
import { addTo, LeaderHost, unique } from "./leader-host.ts";
import { leadersActors } from "./leading.ts";
import { deletion } from "./object-keeping.ts";
import { withWritten } from "./pending-checkpoints.ts";
import { WRITER, type WriterContext } from "./records/record-writer.ts";
import { askFor, requestsFor, type SnapshotRequested } from "./requests.ts";
import { askToRescale, mayRescale } from "./rescale.ts";

interface SavepointSettled extends Event {
  readonly actor: string;
  readonly checkpointId: number;
  readonly answer: Event;
}

interface SubtaskReport extends Event {
  readonly generation: number;
  readonly subtask: string;
  readonly checkpointId: number;
  readonly snapshot: Snapshot;
}

export function coordinatorProcess(
  id: string,
  token: number,
  record: JobRecord,
  bounds: Bounds,
  variant: Variant,
): ProcessModel<CompositionState, CoordinatorDurable> {
  const process = composeProcess<CoordinatorDurable>({
    id,
    durable: { booted: false, used: [], manifests: [], deleted: [], savepoints: [], answered: [] },
    starts: token === 1 ? "first" : "later",
    neverCrashes: bounds.crashes?.[id] === undefined,
    actors: () => leadersActors({ id, token, bounds, variant }, { record, revision: 1, writes: 0 }),
    route: (effect, actor, choose, state) =>
      variant.coordinator(
        effect,
        (changedEffect = effect) =>
          route(new LeaderHost({ id, token, bounds, variant, choose, state }), changedEffect, actor),
        actor,
        state,
      ),
    address: (event, state) => address(event, state, bounds, variant),
    environment: (state) => environment(state, bounds, variant),
    cost,
    observe: assertHeld,
  });
  return {
    ...process,
    show: showActors(["job", "checkpointing", "checkpoint/", "request/"]),
    step: (state, event) => {
      const first = effectsOf(event, state);
      return process.step(state, event).map((step) => ({ ...step, effects: [...first, ...step.effects] }));
    },
    boot: (durable) =>
      durable.booted
        ? []
        : process.boot(durable).map((step) => ({
            ...step,
            effects: [{ kind: "store", patch: { booted: true } }, ...step.effects],
          })),
  };
}

/** What the host does by itself. */
function effectsOf(event: Event, state: CompositionState): StoreEffect[] {
  if (event.type === "objects.deleted") return memoryOf<Memory>(state).deletable.map(deletion);
  const { answer, checkpointId } = event as SavepointSettled;
  if (event.type !== "savepoint.settled" || answer.type !== "savepoint.stored") return [];
  return [
    {
      kind: "store",
      update: addTo("savepoints", checkpointId),
      note: `savepoint ${checkpointId} is complete`,
    },
  ];
}

/* ------------------------------------------------------------------ events */

function address(event: Event, state: CompositionState, bounds: Bounds, variant: Variant) {
  if (event.type.startsWith("write.")) return [{ actor: WRITER, event }];
  switch (event.type) {
    case "manifest.settled": {
      const { actor, answer } = event as Event & { actor: string; answer: Event };
      return wakeLetters(state, actor, answer);
    }
    case "savepoint.settled": {
      const { actor, answer, checkpointId } = event as SavepointSettled;
      const written = changed<Memory>((memory) => withWritten(memory, checkpointId));
      return [...(answer.type === "savepoint.stored" ? [written] : []), ...wakeLetters(state, actor, answer)];
    }
    case "snapshot.requested":
      return askFor((event as SnapshotRequested).kind, state);
    case "rescale.requested":
      return askToRescale(state);
    case "objects.deleted":
      return [{ actor: MEMORY, event: changed<Memory>(() => ({ deletable: [] })).event }];
    case "worker.lost":
    case "cancel.requested":
    case "suspend.requested":
      return [letterFor(state, "job", event)];
    default:
      return addressReport(event as SubtaskReport, state, bounds, variant);
  }
}

/** Does what `#receive` of the job runtime does. */
function addressReport(event: SubtaskReport, state: CompositionState, bounds: Bounds, variant: Variant) {
  const { live, pending } = memoryOf<Memory>(state);
  if (live.length === 0 || (!live.includes(event.generation) && !variant.faults.ignoresGenerations))
    return [];
  const letter = (actor: string, told: Event) => {
    if (isHeld(state, actor) && !bounds.reportsOnce) return [];
    return [letterFor(state, actor, told)];
  };
  const { type, checkpointId, subtask, snapshot } = event;
  switch (type) {
    case "subtask.acknowledged": {
      const known = pending[checkpointId];
      if (known === undefined)
        return variant.faults.deletesOnUnknown ? [dropLate(event)] : leftOver(event, state);
      if (subtask in known) return [];
      const told = madeOf(wires[type], { ...event, finished: snapshot.finished });
      return [
        changed<Memory>((memory) => ({
          pending: {
            ...memory.pending,
            [checkpointId]: { ...memory.pending[checkpointId], [subtask]: snapshot },
          },
        })),
        ...letter(checkpointActor(checkpointId), told),
      ];
    }
    case "subtask.discarded":
      return (event as SubtaskReport & { readonly left: boolean }).left ? leftOver(event, state) : [];
    default:
      return receiversOf(type as WiredEvent, event, () => checkpointsIn(state)).flatMap((actor) =>
        letter(actor, event),
      );
  }
}

/** Its own state, never what its transactions have staged; once the record says that it is given up (P15, P16, P48). */
function leftOver({ checkpointId, subtask }: SubtaskReport, state: CompositionState) {
  if (memoryOf<Memory>(state).givenUp[checkpointId] === undefined) return [];
  const name = objectName.state(checkpointId, subtask);
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  if (record.aborted.some((one) => one.checkpointId === checkpointId))
    return [changed<Memory>(({ deletable }) => ({ deletable: unique([...deletable, name]) }))];
  return [
    changed<Memory>(({ givenUp }) => ({
      givenUp: { ...givenUp, [checkpointId]: unique([...(givenUp[checkpointId] ?? []), name]) },
    })),
  ];
}

function dropLate({ checkpointId, subtask, snapshot }: SubtaskReport) {
  const names = [
    objectName.state(checkpointId, subtask),
    ...snapshot.transactions.map((content) => objectName.staged(content, subtask)),
  ];
  return changed<Memory>(({ deletable }) => ({ deletable: unique([...deletable, ...names]) }));
}

function environment(state: CompositionState, bounds: Bounds, variant: Variant): Event[] {
  const { live, deletable } = memoryOf<Memory>(state);
  const events: Event[] = [];
  for (const actor of checkpointsIn(state)) {
    const { snapshot } = state.actors.get(actor)!;
    if (leaves(snapshot).includes("persisting.savepoint")) {
      const { checkpointId } = snapshot.context as { checkpointId: number };
      const settled = (answer: Event) =>
        ({ type: "savepoint.settled", actor, checkpointId, answer }) as Event;
      events.push(settled({ type: "savepoint.stored" }));
      if (bounds.savepointFailures)
        events.push(settled({ type: "savepoint.refused", reason: "no space" } as Event));
    }
    if (!leaves(snapshot).includes("persisting.manifest")) continue;
    events.push({ type: "manifest.settled", actor, answer: { type: "manifest.stored" } } as Event);
    if (bounds.manifestFailures)
      events.push({
        type: "manifest.settled",
        actor,
        answer: { type: "manifest.refused", reason: "no answer" },
      } as Event);
  }
  if (deletable.length > 0) events.push({ type: "objects.deleted" });
  // One worker each, and one that has a part of all.
  if (bounds.losses)
    for (const generations of live.length > 1
      ? [live, ...live.map((one) => [one])]
      : live.map((one) => [one]))
      events.push({ type: "worker.lost", generations, worker: "w", reason: "silent" } as Event);
  events.push(...requestsFor(state, bounds));
  if (bounds.rescales && mayRescale(state, variant)) events.push({ type: "rescale.requested" });
  if (bounds.cancels) events.push({ type: "cancel.requested" });
  if (bounds.suspends) events.push({ type: "suspend.requested", boundMs: 1 } as Event);
  if (variant.faults.trustsTimeouts && isDeciding(state)) events.push({ type: "write.timedOut" });
  return events;
}

function isDeciding({ actors }: CompositionState): boolean {
  const { snapshot } = actors.get(WRITER)!;
  const [writing] = (snapshot.context as WriterContext).queue;
  return leaves(snapshot).includes("writing") && writing?.change.change === "decision";
}

const PAID_TIMERS: Readonly<Record<string, string>> = {
  trigger: "triggers",
  expiry: "expiries",
  deploy: "deployTimeouts",
  suspend: "suspendTimeouts",
};

function cost(event: Event): string | undefined {
  const { timer, answer } = event as { timer?: string; answer?: Event };
  switch (event.type) {
    case "manifest.settled":
      return answer?.type === "manifest.refused" ? "manifestFailures" : undefined;
    case "savepoint.settled":
      return answer?.type === "savepoint.refused" ? "savepointFailures" : undefined;
    case "worker.lost":
      return "losses";
    case "rescale.requested":
      return "rescales";
    case "cancel.requested":
      return "cancels";
    case "suspend.requested":
      return "suspends";
    case "write.timedOut":
      return "timeouts";
    case "timer.fired":
      return PAID_TIMERS[timer ?? ""];
    default:
      return undefined;
  }
}
