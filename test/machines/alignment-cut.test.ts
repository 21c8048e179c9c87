/**
 * The cut (C4): whatever the order in which records, barriers and aborts come, the state at an aligned barrier is exactly
 * the fold of the records before it on every channel. The real gate, the real machines, the real host; only the channels
 * are scripts.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type AlignmentEffects, alignmentMachine } from "../../machines/alignment.ts";
import { type SubtaskEffects, subtaskMachine } from "../../machines/subtask.ts";
import { createLocalChannel } from "../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../src/dataflow/input-gate.ts";
import { type EffectHandlers, Host, type MachineEvent } from "../../src/runtime/actor.ts";
import { ManualClock } from "../support/manual-clock.ts";

type Item = { readonly record: string } | { readonly barrier: number } | { readonly end: true };

interface World {
  /** What each channel carries, in order. */
  readonly scripts: readonly (readonly Item[])[];
  /** Checkpoints whose barrier some channel never delivers, because its sender heard of the abort first. */
  readonly incomplete: readonly number[];
  readonly operations: readonly Operation[];
}

/** `send`: the next item of a channel arrives. `read`: the loop takes a frame. `abort`: the message comes in. */
type Operation =
  | { readonly do: "send"; readonly channel: number }
  | { readonly do: "read" }
  | { readonly do: "abort"; readonly checkpointId: number };

const GENERATION = 3;

const worlds: fc.Arbitrary<World> = fc
  .record({
    channels: fc.integer({ min: 1, max: 4 }),
    checkpoints: fc.array(
      fc.record({ aborted: fc.boolean(), missing: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }) }),
      { minLength: 1, maxLength: 4 },
    ),
    /** Records before each barrier and after the last, by channel. */
    segments: fc.array(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }), {
      minLength: 4,
      maxLength: 4,
    }),
    /** In which segment each channel ends; barriers follow all the same (P19). */
    ends: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 4, maxLength: 4 }),
    operations: fc.array(
      fc.oneof(
        {
          weight: 5,
          arbitrary: fc.record({ do: fc.constant("send" as const), channel: fc.nat({ max: 3 }) }),
        },
        { weight: 5, arbitrary: fc.constant({ do: "read" as const }) },
        {
          weight: 1,
          arbitrary: fc.record({
            do: fc.constant("abort" as const),
            checkpointId: fc.integer({ min: 1, max: 4 }),
          }),
        },
      ),
      { maxLength: 120 },
    ),
  })
  .map(({ channels, checkpoints, segments, ends, operations }) => {
    const incomplete = checkpoints.flatMap(({ aborted, missing }, i) =>
      aborted && missing.slice(0, channels).includes(true) ? [i + 1] : [],
    );
    const scripts = Array.from({ length: channels }, (_, channel) => {
      const items: Item[] = [];
      for (let segment = 0; segment <= checkpoints.length; segment++) {
        if (segment === ends[channel]) items.push({ end: true });
        const records = segment < ends[channel]! ? segments[channel]![segment]! : 0;
        for (let i = 0; i < records; i++) items.push({ record: `${channel}.${segment}.${i}` });
        const checkpoint = checkpoints[segment];
        if (checkpoint !== undefined && !(checkpoint.aborted && checkpoint.missing[channel]))
          items.push({ barrier: segment + 1 });
      }
      return items;
    });
    return { scripts, incomplete, operations };
  });

/** Runs one subtask's input and notes what it does. */
class Subject {
  readonly processed: string[] = [];
  readonly snapshots = new Map<number, readonly string[]>();
  readonly crashes: unknown[] = [];
  /** Highest barrier seen or abort heard: what is not above it is late. */
  #highest = 0;
  readonly #gate: InputGate;
  readonly #outputs;
  readonly #scripts: readonly (readonly Item[])[];
  readonly #sent: number[];
  readonly #host: Host;

  constructor(scripts: readonly (readonly Item[])[]) {
    this.#scripts = scripts;
    this.#sent = scripts.map(() => 0);
    const channels = scripts.map(() => createLocalChannel());
    this.#gate = new InputGate(channels.map(({ input }) => input));
    this.#outputs = channels.map(({ output }) => output);
    this.#host = new Host({ clock: new ManualClock(), onCrash: (error) => this.crashes.push(error) });
    this.#host.start({
      id: "alignment",
      machine: alignmentMachine,
      input: { generation: GENERATION, channels: scripts.length, restoredCheckpointId: 0 },
      handlers: this.#alignmentHandlers(),
    });
    this.#host.start({
      id: "subtask",
      machine: subtaskMachine,
      input: { subtask: "count/0", generation: GENERATION, restoredCheckpointId: 0, finished: false },
      handlers: this.#subtaskHandlers(),
    });
    this.#host.send("subtask", { type: "state.restored", transactions: [] } as MachineEvent);
    this.#host.send("subtask", { type: "generation.started", generation: GENERATION } as MachineEvent);
  }

  send(channel: number): boolean {
    const item = this.#scripts[channel]?.[this.#sent[channel]!];
    if (item === undefined) return false;
    this.#sent[channel]!++;
    const output = this.#outputs[channel]!;
    if ("record" in item) output.send({ kind: "records", values: [item.record], timestamps: undefined });
    else if ("barrier" in item) output.send({ kind: "barrier", checkpointId: item.barrier });
    else output.send({ kind: "endOfData" });
    return true;
  }

  read(): boolean {
    const next = this.#gate.nextFrame();
    if (next === undefined) return false;
    const { frame, channelIndex } = next;
    if (frame.kind === "records") this.processed.push(...(frame.values as string[]));
    if (frame.kind === "barrier") this.#barrier(channelIndex, frame.checkpointId);
    return true;
  }

  abort(checkpointId: number): void {
    const message = { type: "checkpoint.aborted", generation: GENERATION, checkpointId } as MachineEvent;
    this.#highest = Math.max(this.#highest, checkpointId);
    this.#host.send("alignment", message);
    this.#host.send("subtask", message);
  }

  get blocked(): number[] {
    return this.#scripts.map((_, channel) => channel).filter((channel) => this.#gate.isBlocked(channel));
  }

  #barrier(channel: number, checkpointId: number): void {
    const late =
      checkpointId < this.#highest ||
      (checkpointId === this.#highest && this.#host.state("alignment") === "flowing");
    const before = this.blocked;
    this.#host.send("alignment", { type: "barrier.received", channel, checkpointId } as MachineEvent);
    if (late) expect(this.blocked).toEqual(before);
    this.#highest = Math.max(this.#highest, checkpointId);
  }

  #alignmentHandlers(): EffectHandlers<AlignmentEffects> {
    return {
      "block.channel": ({ channel }) => this.#gate.block(channel),
      "unblock.channels": () => this.#gate.unblockAll(),
    };
  }

  #subtaskHandlers(): EffectHandlers<SubtaskEffects> {
    const nothing = () => {};
    return {
      "restore.state": nothing,
      "send.restored": nothing,
      "run.input": nothing,
      "cut.transactions": ({ checkpointId }) =>
        this.#host.send("subtask", {
          type: "transactions.cut",
          checkpointId,
          transactions: [],
        } as MachineEvent),
      "emit.barrier": nothing,
      "take.snapshot": ({ checkpointId }) => {
        expect(this.snapshots.has(checkpointId)).toBe(false);
        this.snapshots.set(checkpointId, [...this.processed]);
      },
      "cancel.snapshot": nothing,
      "send.acknowledgement": nothing,
      "send.decline": nothing,
      "send.committed": nothing,
      "report.progress": nothing,
      "run.finish": nothing,
      "send.ended": nothing,
      "send.failure": nothing,
      "close.operators": nothing,
    };
  }
}

const recordsOf = (script: readonly Item[]): string[] =>
  script.flatMap((item) => ("record" in item ? [item.record] : []));

/** The records before barrier `checkpointId`; undefined when the channel never delivers it. */
function before(script: readonly Item[], checkpointId: number): string[] | undefined {
  const at = script.findIndex((item) => "barrier" in item && item.barrier === checkpointId);
  return at < 0 ? undefined : recordsOf(script.slice(0, at));
}

test("the state at an aligned barrier is the fold of exactly the records before it (A1 - A4, C4)", () => {
  let aligned = 0;
  let givenUp = 0;
  fc.assert(
    fc.property(worlds, ({ scripts, incomplete, operations }) => {
      const subject = new Subject(scripts);
      /** Ids that were aborted before they were aligned: those and all older ones may be given up. */
      let abortedUpTo = 0;
      const abort = (checkpointId: number) => {
        if (!subject.snapshots.has(checkpointId)) abortedUpTo = Math.max(abortedUpTo, checkpointId);
        subject.abort(checkpointId);
      };
      for (const operation of operations) {
        if (operation.do === "send") subject.send(operation.channel);
        else if (operation.do === "read") subject.read();
        else abort(operation.checkpointId);
      }
      // The rest comes in, and every abort is told until it is heard.
      for (const channel of scripts.keys()) while (subject.send(channel));
      while (subject.read());
      for (const checkpointId of incomplete) {
        abort(checkpointId);
        while (subject.read());
      }

      expect(subject.crashes).toEqual([]);
      expect(subject.blocked).toEqual([]);
      for (const script of scripts) {
        const own = new Set(recordsOf(script));
        expect(subject.processed.filter((record) => own.has(record))).toEqual(recordsOf(script));
      }
      for (const [checkpointId, state] of subject.snapshots) {
        const cut = scripts.flatMap(
          (script) => before(script, checkpointId) ?? [`no barrier ${checkpointId}`],
        );
        expect([...state].sort()).toEqual(cut.sort());
      }
      const complete = (checkpointId: number) =>
        scripts.every((script) => before(script, checkpointId) !== undefined);
      for (let checkpointId = abortedUpTo + 1; checkpointId <= 4; checkpointId++)
        expect(subject.snapshots.has(checkpointId)).toBe(complete(checkpointId));
      aligned += subject.snapshots.size;
      givenUp += abortedUpTo > 0 ? 1 : 0;
    }),
    { numRuns: 1000 },
  );
  // The worlds must not be so wild that hardly anything is ever aligned.
  expect(aligned).toBeGreaterThan(700);
  expect(givenUp).toBeGreaterThan(150);
});
