/**
 * One subtask whose barriers are put to the test: real machines, host, gate and barriers (src/runtime/worker); the
 * channels are scripts, the operator notes what it is given.
 */
import { expect } from "vitest";
import type { BarrierAlignment } from "../../../machines/protocol.ts";
import type { FeedbackChannels } from "../../../machines/worker/alignment.ts";
import { type SubtaskEvent, subtaskMachine } from "../../../machines/worker/subtask.ts";
import type { OutputChannel } from "../../../src/dataflow/channel/channel.ts";
import type { RecordsFrame } from "../../../src/dataflow/channel/frame.ts";
import { createLocalChannel } from "../../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../../src/dataflow/input-gate.ts";
import { type EffectHandlers, Host } from "../../../src/runtime/actor.ts";
import type { ChannelCollection } from "../../../src/runtime/worker/snapshots/channel-state.ts";
import { Barriers } from "../../../src/runtime/worker/subtask/barriers.ts";
import { EventTimeFlow } from "../../../src/runtime/worker/subtask/input/event-time.ts";
import { GateInput } from "../../../src/runtime/worker/subtask/input/gate.ts";
import { barrierFrame } from "../../support/frames.ts";
import { ManualClock } from "../../support/manual-clock.ts";

export type Item =
  | { readonly records: readonly string[] }
  | { readonly barrier: number; readonly alignment: BarrierAlignment }
  | { readonly marker: number }
  | { readonly end: true };

/** State at the barrier, and what was stored of each channel. */
export interface Acknowledged {
  readonly state: readonly string[];
  readonly stored: readonly (readonly string[])[];
  readonly alignment: BarrierAlignment;
}

export interface SubjectOptions {
  readonly scripts: readonly (readonly Item[])[];
  readonly alignedTimeoutMs: number;
  readonly recordsPerSlice: number;
  readonly feedback?: FeedbackChannels | undefined;
  readonly restored?: Acknowledged & { readonly checkpointId: number };
}

const GENERATION = 3;

export class CutSubject {
  readonly clock = new ManualClock();
  readonly processed: string[];
  readonly acknowledged = new Map<number, Acknowledged>();
  readonly declined = new Map<number, string>();
  /** What went downstream, in order. */
  readonly emitted: { readonly kind: "barrier" | "marker"; readonly checkpointId: number }[] = [];
  readonly crashes: unknown[] = [];
  readonly #options: SubjectOptions;
  readonly #gate: InputGate;
  readonly #input: GateInput;
  readonly #barriers: Barriers;
  readonly #host: Host;
  readonly #outputs: readonly OutputChannel[];
  readonly #sent: number[];
  readonly #triggeredAtMs = new Map<number, number>();
  readonly #requests: (() => void)[] = [];
  readonly #taken = new Map<number, Pick<Acknowledged, "state" | "alignment">>();
  readonly #stored = new Map<number, Acknowledged["stored"]>();
  #emitted: BarrierAlignment = "aligned";

  constructor(options: SubjectOptions) {
    this.#options = options;
    const { scripts, restored } = options;
    this.processed = [...(restored?.state ?? [])];
    this.#sent = scripts.map(() => 0);
    const channels = scripts.map(() => createLocalChannel());
    this.#outputs = channels.map(({ output }) => output);
    this.#gate = new InputGate(channels.map(({ input }) => input));
    for (const [channel, records] of (restored?.stored ?? []).entries())
      if (records.length > 0) this.#gate.restore(channel, frameOf(records));
    this.#host = new Host({ clock: this.clock, onCrash: (error) => this.crashes.push(error) });
    this.#input = new GateInput({
      gate: this.#gate,
      clock: this.clock,
      heads: scripts.map(() => (value: unknown) => void this.processed.push(String(value))),
      origins: [],
      time: new EventTimeFlow({
        operator: "in",
        subtaskIndex: 0,
        chain: { advance: () => undefined, becameIdle() {}, unfinishedTime: () => undefined },
        outputs: [],
        channels: scripts.map((_, from) => ({ edge: "in", from, to: 0 })),
        restored: [],
      }),
      onCheckpointFrame: (channel, frame) => this.#barriers.received(channel, frame),
      recordsPerSliceMax: options.recordsPerSlice,
    });
    this.#barriers = new Barriers({
      host: this.#host,
      clock: this.clock,
      generation: GENERATION,
      restoredCheckpointId: restored?.checkpointId ?? 0,
      input: this.#input,
      channels: scripts.map((_, from) => ({ edge: "in", from, to: 0 })),
      feedback: options.feedback,
      atBorder: (run) => this.#requests.push(run),
      onCollected: (collection) => this.#keep(collection),
    });
    this.#start(restored?.checkpointId ?? 0);
  }

  #start(restoredCheckpointId: number): void {
    this.#host.start({
      id: "subtask",
      machine: subtaskMachine,
      input: {
        subtask: "count/0",
        generation: GENERATION,
        restoredCheckpointId,
        finished: false,
        source: false,
      },
      handlers: this.#handlers(),
    });
    this.#tell({ type: "state.restored", transactions: [] });
    this.#tell({ type: "generation.started", generation: GENERATION });
  }

  /** The next item of the channel, if there is one. */
  next(channel: number): Item | undefined {
    return this.#options.scripts[channel]?.[this.#sent[channel]!];
  }

  /** It arrives. */
  send(channel: number): boolean {
    const item = this.next(channel);
    if (item === undefined) return false;
    this.#sent[channel]!++;
    const output = this.#outputs[channel]!;
    if ("records" in item) output.send(frameOf(item.records));
    else if ("marker" in item) output.send({ kind: "cancelMarker", checkpointId: item.marker });
    else if ("end" in item) output.send({ kind: "endOfData" });
    else {
      const frame = barrierFrame(item.barrier, item.alignment, this.#options.alignedTimeoutMs);
      if (!this.#triggeredAtMs.has(item.barrier)) this.#triggeredAtMs.set(item.barrier, this.clock.nowMs());
      const triggeredAtMs = this.#triggeredAtMs.get(item.barrier)!;
      output.send({ ...frame, options: { ...frame.options, triggeredAtMs } });
    }
    return true;
  }

  /** Reads as a turn does: what waits for a border first, then a slice of a frame. */
  read(): boolean {
    let ran = false;
    for (let run = this.#requests.shift(); run !== undefined; run = this.#requests.shift()) {
      run();
      ran = true;
    }
    return this.#input.take() !== "idle" || ran;
  }

  abort(checkpointId: number): void {
    const message = { type: "checkpoint.aborted", generation: GENERATION, checkpointId } as const;
    this.#host.tell(message);
  }

  get blocked(): number[] {
    return this.#sent.map((_, channel) => channel).filter((channel) => this.#gate.isBlocked(channel));
  }

  #tell(event: SubtaskEvent): void {
    this.#host.send("subtask", event);
  }

  #keep(collection: ChannelCollection): void {
    const { checkpointId } = collection;
    const stored: string[][] = this.#sent.map(() => []);
    for (const { id, records } of collection.filled())
      for (const frame of records) stored[id.from]!.push(...((frame as RecordsFrame).values as string[]));
    this.#stored.set(checkpointId, stored);
    this.#tell({ type: "channels.stored", checkpointId });
  }

  #handlers(): EffectHandlers<"subtask"> {
    const nothing = () => {};
    return {
      "restore.state": nothing,
      "send.restored": nothing,
      "run.input": nothing,
      "inject.barrier": nothing,
      "hold.source": nothing,
      "resume.source": nothing,
      "drain.source": nothing,
      "cut.transactions": ({ checkpointId }, answer) =>
        answer({ type: "transactions.cut", checkpointId, transactions: [] }),
      "emit.barrier": ({ checkpointId, options }) => {
        this.emitted.push({ kind: "barrier", checkpointId });
        this.#emitted = options.alignment;
      },
      "emit.cancelMarker": ({ checkpointId }) => void this.emitted.push({ kind: "marker", checkpointId }),
      "take.snapshot": ({ checkpointId }) => {
        expect(this.#taken.has(checkpointId)).toBe(false);
        this.#taken.set(checkpointId, { state: [...this.processed], alignment: this.#emitted });
        this.#tell({ type: "snapshot.stored", checkpointId });
      },
      "cancel.snapshot": nothing,
      "discard.snapshot": nothing,
      "send.acknowledgement": ({ checkpointId }) => {
        expect(this.acknowledged.has(checkpointId)).toBe(false);
        const stored = this.#stored.get(checkpointId) ?? this.#sent.map(() => []);
        this.acknowledged.set(checkpointId, { ...this.#taken.get(checkpointId)!, stored });
      },
      "send.decline": ({ checkpointId, reason }) => void this.declined.set(checkpointId, reason),
      "send.committed": nothing,
      "report.progress": nothing,
      "run.finish": nothing,
      "send.ended": nothing,
      "send.failure": nothing,
      "close.operators": nothing,
    };
  }
}

function frameOf(values: readonly string[]): RecordsFrame {
  return { kind: "records", values, timestamps: undefined, marks: undefined };
}
