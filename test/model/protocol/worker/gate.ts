/**
 * The gate of a modelled subtask: its channels, what waits in them, and who puts it there. The real alignment machine
 * decides.
 *
 * Each channel delivers in order. Its sender is a source: it sends its records one by one, and at any time after a
 * trigger the barrier, or a cancel marker if it has heard of the abort by then; so any barrier may be late. A channel
 * that leads back is filled by the subtask itself: each record that comes in goes round once, and its barrier behind
 * those before it.
 *
 * A record is a number of its channel, so that a checkpoint can be held against what was sent before its barriers.
 */
import type { CheckpointOptions } from "../../../../machines/protocol.ts";
import { eventOf, receiversOf, wires } from "../../../../machines/wiring.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { Event } from "../../process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import type { Bounds, GateBounds } from "../bounds.ts";
import type { ToActor } from "../held-actors.ts";
import { changed } from "../memory.ts";
import type { GateSnapshot } from "../words.ts";
import type { WorkerMemory } from "./worker-host.ts";

interface Barrier {
  readonly kind: "barrier";
  readonly checkpointId: number;
  readonly options: CheckpointOptions;
}

interface Marker {
  readonly kind: "marker";
  readonly checkpointId: number;
}

/** The number of a record, or what stands for a checkpoint. */
type Frame = number | Barrier | Marker;

interface Channel {
  readonly queue: readonly Frame[];
  readonly sent: number;
  readonly taken: number;
  /** Records sent before each barrier. */
  readonly before: Readonly<Record<number, number>>;
  /** Triggers that its sender has not followed yet. */
  readonly due: readonly Barrier[];
}

interface Collection {
  readonly checkpointId: number;
  /** Channels whose barrier has not come. */
  readonly open: readonly number[];
  readonly records: readonly (readonly number[])[];
}

export interface Gate {
  readonly channels: readonly Channel[];
  readonly blocked: readonly number[];
  readonly collection: Collection | null;
  readonly lastTriggered: number;
  readonly aborted: readonly number[];
  /** By checkpoint: the last record of each channel that the state at its barrier holds. */
  readonly cuts: Readonly<Record<number, GateSnapshot["taken"]>>;
  /** By checkpoint: what is stored beside that state. */
  readonly kept: Readonly<Record<number, GateSnapshot["kept"]>>;
}

type Update = (gate: Gate) => Gate;

export interface ChannelEvent extends Event {
  readonly channel: number;
}

export function beginGate({ channels }: GateBounds, restored: GateSnapshot | null): Gate {
  return {
    channels: Array.from({ length: channels }, (_, channel) => ({
      queue: restored?.kept[channel] ?? [],
      sent: restored?.sent[channel] ?? 0,
      taken: restored?.taken[channel] ?? 0,
      before: {},
      due: [],
    })),
    blocked: [],
    collection: null,
    lastTriggered: 0,
    aborted: [],
    cuts: {},
    kept: {},
  };
}

const inGate =
  (update: Update) =>
  (memory: WorkerMemory): Partial<WorkerMemory> =>
    memory.gate === null ? {} : { gate: update(memory.gate) };
const later = (update: Update) => changed<WorkerMemory>(inGate(update));
/** In the order in which machines name effects: one transition may change the gate several times. */
const now = (update: Update): ProcessOutcome => ({ kind: "tell", ...later(update) });

const withChannel = (gate: Gate, channel: number, update: (one: Channel) => Partial<Channel>): Gate => ({
  ...gate,
  channels: gate.channels.map((one, index) => (index === channel ? { ...one, ...update(one) } : one)),
});

/** The channel that leads back; -1: none. */
const feedbackOf = ({ gate }: Bounds): number => (gate?.feedback ? gate.channels - 1 : -1);

/** It arrives; records in front of a barrier that is waited for are kept. */
function put(gate: Gate, channel: number, frame: Frame): Gate {
  const isRecord = typeof frame === "number";
  const arrived = withChannel(gate, channel, ({ queue, sent, before, due }) => ({
    queue: [...queue, frame],
    sent: isRecord ? frame : sent,
    before: isRecord ? before : { ...before, [frame.checkpointId]: sent },
    due: isRecord ? due : due.filter(({ checkpointId }) => checkpointId !== frame.checkpointId),
  }));
  const { collection } = arrived;
  if (collection === null || !collection.open.includes(channel)) return arrived;
  if (isRecord) {
    const records = collection.records.map((kept, index) => (index === channel ? [...kept, frame] : kept));
    return { ...arrived, collection: { ...collection, records } };
  }
  if (frame.kind !== "barrier" || frame.checkpointId !== collection.checkpointId) return arrived;
  return {
    ...arrived,
    collection: { ...collection, open: collection.open.filter((one) => one !== channel) },
  };
}

/** What its arrival alone tells: that it overtakes, or that it has come back. */
function announcement(channel: number, frame: Barrier | Marker, bounds: Bounds): ToActor[] {
  if (frame.kind !== "barrier") return [];
  const overtakes = frame.options.alignment === "unaligned";
  if (!(overtakes || channel === feedbackOf(bounds))) return [];
  const event = eventOf("barrier.announced", frame, { channel, remainingMs: overtakes ? 0 : null });
  return [{ actor: "alignment", event }];
}

/* ------------------------------------------------------------------ effects */

/** undefined: it is no effect of a gate. */
export function routeGate(
  { type, params }: MachineEffect,
  bounds: Bounds,
): readonly ProcessOutcome[] | undefined {
  const checkpointId = Number(params.checkpointId);
  switch (type) {
    case "block.channel":
      return [now((gate) => ({ ...gate, blocked: [...gate.blocked, Number(params.channel)].sort() }))];
    case "release.channels":
      return [now((gate) => ({ ...gate, blocked: [], collection: null }))];
    case "begin.collection":
      return [now((gate) => beginCollection(gate, checkpointId, params.channels as readonly number[]))];
    case "end.collection":
      return [
        now((gate) => endCollection(gate, checkpointId)),
        { kind: "tell", actor: "subtask", event: eventOf("channels.stored", { checkpointId }) },
      ];
    case "emit.barrier":
      return sendBack({ ...(params as Pick<Barrier, "checkpointId" | "options">), kind: "barrier" }, bounds);
    case "emit.cancelMarker":
      return sendBack({ checkpointId, kind: "marker" }, bounds);
    default:
      return undefined;
  }
}

function beginCollection(gate: Gate, checkpointId: number, channels: readonly number[]): Gate {
  const isOf = (frame: Frame) => typeof frame !== "number" && frame.checkpointId === checkpointId;
  const records = gate.channels.map(({ queue }, channel) => {
    if (!channels.includes(channel)) return [];
    const end = queue.findIndex(isOf);
    const front = end < 0 ? queue : queue.slice(0, end);
    return front.filter((frame) => typeof frame === "number");
  });
  const open = channels.filter((channel) => !gate.channels[channel]!.queue.some(isOf));
  return { ...gate, collection: { checkpointId, open, records } };
}

function endCollection(gate: Gate, checkpointId: number): Gate {
  const { collection, kept } = gate;
  if (collection === null) return gate;
  return { ...gate, collection: null, kept: { ...kept, [checkpointId]: collection.records } };
}

function sendBack(frame: Barrier | Marker, bounds: Bounds): ProcessOutcome[] {
  const channel = feedbackOf(bounds);
  if (channel < 0) return [];
  const told = announcement(channel, frame, bounds);
  return [
    now((gate) => put(gate, channel, frame)),
    ...told.map((letter) => ({ kind: "tell" as const, ...letter })),
  ];
}

/** With the synchronous part of the snapshot. */
export function cutGate(checkpointId: number): ProcessOutcome {
  return now((gate) => ({
    ...gate,
    cuts: { ...gate.cuts, [checkpointId]: gate.channels.map(({ taken }) => taken) },
  }));
}

/** The snapshot is acknowledged, or given up. */
export const forgetCut = (checkpointId: number): ProcessOutcome =>
  now(({ cuts: { [checkpointId]: _, ...cuts }, kept: { [checkpointId]: __, ...kept }, ...gate }) => ({
    ...gate,
    cuts,
    kept,
  }));

/**
 * What the sources say of their positions is part of it; one that has not sent its barrier yet may send all it has
 * before.
 */
export function gateSnapshot(
  { channels, cuts, kept }: Gate,
  checkpointId: number,
  bounds: Bounds,
): GateSnapshot {
  return {
    taken: cuts[checkpointId]!,
    kept: kept[checkpointId] ?? channels.map(() => []),
    sent: channels.map(({ before }) => before[checkpointId] ?? bounds.records),
  };
}

/* ------------------------------------------------------------------ events */

/** A message of the leader that the senders hear, too. */
export function heardBySenders(event: Event, bounds: Bounds): ToActor[] {
  const { checkpointId, options } = event as Event & Barrier;
  if (event.type === "checkpoint.aborted")
    return [
      later((gate) =>
        gate.aborted.includes(checkpointId)
          ? gate
          : { ...gate, aborted: [...gate.aborted, checkpointId].sort() },
      ),
    ];
  if (event.type !== "checkpoint.triggered") return [];
  const due = { kind: "barrier", checkpointId, options } as const;
  return [
    later((gate) => {
      if (checkpointId <= gate.lastTriggered) return gate;
      const channels = gate.channels.map((one, channel) =>
        channel === feedbackOf(bounds) ? one : { ...one, due: [...one.due, due] },
      );
      return { ...gate, channels, lastTriggered: checkpointId };
    }),
  ];
}

/** Gives an event of the channels, their senders and the gate its address. */
export function addressGate({ type, channel }: ChannelEvent, gate: Gate, bounds: Bounds): ToActor[] {
  const one = gate.channels[channel]!;
  switch (type) {
    case "record.sent":
      return [later((at) => put(at, channel, one.sent + 1))];
    case "barrier.sent": {
      const [due] = one.due;
      const { checkpointId } = due!;
      const frame = gate.aborted.includes(checkpointId) ? ({ kind: "marker", checkpointId } as const) : due!;
      return [later((at) => put(at, channel, frame)), ...announcement(channel, frame, bounds)];
    }
    default: {
      const [frame] = one.queue;
      return typeof frame === "number"
        ? takeRecord(channel, frame, bounds)
        : [later((at) => dequeued(at, channel)), ...received(channel, frame!)];
    }
  }
}

const dequeued = (gate: Gate, channel: number): Gate =>
  withChannel(gate, channel, ({ queue }) => ({ queue: queue.slice(1) }));

function takeRecord(channel: number, record: number, bounds: Bounds) {
  const feedback = feedbackOf(bounds);
  const take = ({ gate, position }: WorkerMemory): Partial<WorkerMemory> => {
    const taken = withChannel(dequeued(gate!, channel), channel, () => ({ taken: record }));
    const goesRound = feedback >= 0 && channel !== feedback;
    return { position: position + 1, gate: goesRound ? put(taken, feedback, record) : taken };
  };
  return [changed<WorkerMemory>(take)];
}

function received(channel: number, frame: Barrier | Marker): ToActor[] {
  const event =
    frame.kind === "barrier"
      ? eventOf("barrier.received", frame, { channel })
      : eventOf("marker.received", frame, { channel });
  return receiversOf(wires[event.type].event, event, () => []).map((actor) => ({ actor, event }));
}

/** Whatever the senders and the gate may do next. */
export function gateEvents({ channels, blocked }: Gate, bounds: Bounds): ChannelEvent[] {
  const feedback = feedbackOf(bounds);
  return channels.flatMap(({ queue, sent, due }, channel) => [
    ...(channel !== feedback && sent < bounds.records ? [{ type: "record.sent", channel }] : []),
    ...(due.length > 0 ? [{ type: "barrier.sent", channel }] : []),
    ...(queue.length > 0 && !blocked.includes(channel) ? [{ type: "frame.taken", channel }] : []),
  ]);
}
