/**
 * Alignment at a gate with several channels: the real machine, with the channels and the gate around it.
 *
 * A channel delivers in order; what a barrier must stand for is counted when it is put in. Checkpoints follow one
 * another: the next one is triggered when the last one is aligned here or given up. A source that hears of an abort
 * before its trigger sends no barrier at all; the gate may hear of it at any time, and again.
 *
 * Not explored here: cancel markers, barriers that overtake and the timeout after which they do (A6 to A8), barriers
 * that no channel waits for. Their cut is tried with random orders in test/machines/worker/barrier-cut.test.ts.
 */
import { alignmentMachine } from "../../../../machines/worker/alignment.ts";
import { type CheckOptions, type CheckResult, check } from "../../checker/checker.ts";
import type { CompositionState } from "../../composition.ts";
import { composeProcess, type ProcessOutcome } from "../../machine-process.ts";
import type { Event, View } from "../../process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import { change, changed, MEMORY, memoryMachine, memoryOf } from "../memory.ts";

export interface AlignmentBounds {
  readonly channels: number;
  /** In each channel. */
  readonly records: number;
  readonly checkpoints: number;
  readonly aborts: number;
}

export interface AlignmentVariant {
  readonly machine: typeof alignmentMachine;
  /** What becomes of an effect instead. */
  readonly ignores: (effect: MachineEffect, state: CompositionState) => boolean;
}

const theAlignment: AlignmentVariant = { machine: alignmentMachine, ignores: () => false };

interface Channel {
  /** A record, or the barrier of that checkpoint. */
  readonly queue: readonly (number | "record")[];
  readonly sent: number;
  readonly taken: number;
  /** Records sent before each barrier. */
  readonly before: Readonly<Record<number, number>>;
}

interface Gate {
  readonly channels: readonly Channel[];
  readonly blocked: readonly number[];
  readonly given: readonly number[];
  readonly aligned: readonly { readonly checkpointId: number; readonly taken: readonly number[] }[];
}

interface GateEvent extends Event {
  readonly channel: number;
  readonly checkpointId: number;
}

export function checkAlignment(
  bounds: AlignmentBounds,
  variant: AlignmentVariant = theAlignment,
  more: Partial<CheckOptions> = {},
): CheckResult {
  const gate = composeProcess({
    id: "gate",
    durable: {},
    starts: "first",
    neverCrashes: true,
    actors: () => ({
      [MEMORY]: { machine: memoryMachine, input: emptyGate(bounds) },
      alignment: {
        machine: variant.machine,
        input: { generation: 1, channels: bounds.channels, restoredCheckpointId: 0 },
      },
    }),
    route: (effect, _actor, _choose, state) => (variant.ignores(effect, state) ? [] : route(effect)),
    address: (event, state) => address(event as GateEvent, state),
    environment: (state) => environment(memoryOf(state), bounds),
    cost: ({ type }) => (type === "checkpoint.givenUp" ? "aborts" : undefined),
  });
  return check({
    processes: [gate] as never,
    budgets: { aborts: bounds.aborts },
    invariants: { "C4 aligned at the barrier": alignedAtTheBarrier },
    goal: (view) => isThrough(view, bounds),
    ...more,
  });
}

function emptyGate({ channels }: AlignmentBounds): Gate {
  const channel: Channel = { queue: [], sent: 0, taken: 0, before: {} };
  return { channels: Array.from({ length: channels }, () => channel), blocked: [], given: [], aligned: [] };
}

function route({ type, params }: MachineEffect): readonly ProcessOutcome[] | undefined {
  switch (type) {
    case "block.channel": {
      const channel = Number(params.channel);
      return [
        { kind: "tell", ...changed<Gate>(({ blocked }) => ({ blocked: [...blocked, channel].sort() })) },
      ];
    }
    case "release.channels":
      return [{ kind: "tell", ...changed<Gate>(() => ({ blocked: [] })) }];
    case "tell.subtask": {
      const { type: told, checkpointId } = params.event as GateEvent;
      if (told !== "barrier.aligned") return [];
      return [
        change<Gate>(({ aligned, channels }) => ({
          aligned: [...aligned, { checkpointId, taken: channels.map(({ taken }) => taken) }],
        })),
      ];
    }
    default:
      return undefined;
  }
}

function address(event: GateEvent, state: CompositionState) {
  const { channel, checkpointId } = event;
  const inChannel = (update: (before: Channel) => Partial<Channel>) =>
    changed<Gate>(({ channels }) => ({
      channels: channels.map((one, index) => (index === channel ? { ...one, ...update(one) } : one)),
    }));
  switch (event.type) {
    case "record.sent":
      return [inChannel(({ queue, sent }) => ({ queue: [...queue, "record"], sent: sent + 1 }))];
    case "barrier.sent":
      return [
        inChannel(({ queue, sent, before }) => ({
          queue: [...queue, checkpointId],
          before: { ...before, [checkpointId]: sent },
        })),
      ];
    case "frame.taken": {
      const [frame] = memoryOf<Gate>(state).channels[channel]!.queue;
      const taken = inChannel((now) => ({
        queue: now.queue.slice(1),
        taken: now.taken + (frame === "record" ? 1 : 0),
      }));
      if (frame === "record") return [taken];
      const received = { type: "barrier.received", channel, checkpointId: frame };
      return [taken, { actor: "alignment", event: received }];
    }
    case "checkpoint.givenUp":
      return [changed<Gate>(({ given }) => ({ given: [...given, checkpointId].sort() }))];
    default:
      return [{ actor: "alignment", event }];
  }
}

function environment({ channels, blocked, given, aligned }: Gate, bounds: AlignmentBounds): Event[] {
  const ids = Array.from({ length: bounds.checkpoints }, (_, index) => index + 1);
  const isOver = (id: number) =>
    given.includes(id) || aligned.some(({ checkpointId }) => checkpointId === id);
  const events: GateEvent[] = [];
  const add = (type: string, channel: number, checkpointId: number) =>
    events.push({ type, channel, checkpointId });
  for (const [index, { queue, sent, before }] of channels.entries()) {
    if (sent < bounds.records) add("record.sent", index, 0);
    if (queue.length > 0 && !blocked.includes(index)) add("frame.taken", index, 0);
    const last = Math.max(0, ...Object.keys(before).map(Number));
    for (const id of ids) {
      const triggered = ids.every((other) => other >= id || isOver(other));
      const skips = ids.filter((other) => other > last && other < id);
      if (id > last && triggered && skips.every((other) => given.includes(other)))
        add("barrier.sent", index, id);
    }
  }
  for (const id of ids) {
    if (ids.every((other) => other >= id || isOver(other)) && !given.includes(id))
      add("checkpoint.givenUp", 0, id);
    if (given.includes(id))
      events.push({ type: "checkpoint.aborted", channel: 0, checkpointId: id, ...{ generation: 1 } });
  }
  return events;
}

function gateIn(view: View): Gate | undefined {
  const state = view.local<CompositionState>("gate");
  return state && memoryOf<Gate>(state);
}

/** C4, A1 to A3: exactly the records before the barrier have been taken from every channel. */
function alignedAtTheBarrier(view: View): string | undefined {
  const { aligned, channels } = gateIn(view) ?? { aligned: [], channels: [] };
  for (const [index, { checkpointId, taken }] of aligned.entries()) {
    if (checkpointId <= (aligned[index - 1]?.checkpointId ?? 0)) return `${checkpointId} is aligned again`;
    const wrong = channels.findIndex(({ before }, channel) => before[checkpointId] !== taken[channel]);
    if (wrong >= 0)
      return `at barrier ${checkpointId} channel ${wrong} has delivered ${taken[wrong]} records instead of ${channels[wrong]!.before[checkpointId] ?? "waiting for it"}`;
  }
  return undefined;
}

/** Every record can still be taken, and every checkpoint that was not given up aligned. */
function isThrough(view: View, { records, checkpoints }: AlignmentBounds): boolean {
  const gate = gateIn(view);
  if (gate === undefined) return false;
  const over = new Set([...gate.given, ...gate.aligned.map(({ checkpointId }) => checkpointId)]);
  return over.size === checkpoints && gate.channels.every(({ taken }) => taken === records);
}

export { theAlignment };
