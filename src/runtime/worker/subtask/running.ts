/**
 * A restored subtask: its chain, its input, and the turns in which it works, all there from the beginning.
 *
 * Owns: what is done at a barrier, at the end of input, and to the source. Does not own: when
 * (machines/worker/subtask.ts, whose effects these are), how its parts were opened (restore.ts), the sinks'
 * transactions (sinks/).
 */
import type {
  CheckpointOptions,
  StateHandle,
  SubtaskSnapshot,
  TransactionName,
} from "../../../../machines/protocol.ts";
import type { SubtaskReport } from "../../../control/messages.ts";
import type { StateLook } from "../../../control/requests/live-state.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import type { ControlFrame } from "../../../dataflow/channel/frame.ts";
import { edgeOf, firstOf, hasWatermarks } from "../../../dataflow/graph.ts";
import type { OpenWork } from "../../../dataflow/operators/contract.ts";
import { PortWait } from "../../../dataflow/operators/joins/port-wait.ts";
import { keyOfTravelling } from "../../../dataflow/operators/keyed/combine.ts";
import type { HotKeys } from "../../../dataflow/operators/keyed/hot-keys.ts";
import { operatorStateHandles } from "../../../dataflow/operators/unkeyed/operator-state.ts";
import type { Collect } from "../../../dataflow/source.ts";
import { invariant } from "../../../errors.ts";
import { keyGroupRangeOf } from "../../../state/key-groups.ts";
import type { Host } from "../../actor.ts";
import type { SinkTransactions } from "../sinks/sink-transactions.ts";
import { operatorTimeHandles } from "../snapshots/event-time.ts";
import { SubtaskSnapshots } from "../snapshots/subtask-snapshots.ts";
import { heldLoop } from "../time/held-loop.ts";
import { type ProcessingClock, ProcessingTimers } from "../time/processing-timers.ts";
import { Barriers } from "./barriers.ts";
import { CheckpointsUnderWay } from "./checkpoints-under-way.ts";
import { hotKeysIn, hotKeysOf } from "./hot-keys.ts";
import { EventTimeFlow } from "./input/event-time.ts";
import { GateInput } from "./input/gate.ts";
import type { SubtaskInput } from "./input/input.ts";
import { LoopRounds } from "./input/rounds.ts";
import { type LiveFound, lookIntoState } from "./live-state.ts";
import type { SubtaskOptions } from "./subtask.ts";
import { TimeReporter } from "./time-report.ts";
import { Turns } from "./turns.ts";

export interface RunningParts {
  readonly host: Host;
  readonly fail: (error: unknown) => void;
  readonly chain: Chain;
  /** The one that the chain was given. */
  readonly processingClock: ProcessingClock;
  readonly sinks: SinkTransactions;
  /** The subtask's source; undefined: its input is its gate. */
  readonly source: SubtaskInput | undefined;
}

/** No checkpoint has this id. */
const REHEARSAL = 0;
const REHEARSALS = 12;

export class RunningSubtask {
  readonly input: SubtaskInput;
  readonly #options: SubtaskOptions;
  readonly #parts: RunningParts;
  readonly #hotKeys: HotKeys | undefined;
  readonly #turns: Turns;
  readonly #snapshots: SubtaskSnapshots;
  readonly #barriers: Barriers;
  readonly #underWay: CheckpointsUnderWay;
  /** The savepoint whose barrier came last. */
  #savepoint: number | undefined;
  /** The completed checkpoint that the barrier before the next snapshot names. */
  #base: number | null = null;

  constructor(options: SubtaskOptions, parts: RunningParts) {
    this.#options = options;
    this.#parts = parts;
    const { host, fail } = parts;
    this.#hotKeys = hotKeysOf(options);
    const gate = this.#gateInput();
    const input = parts.source ?? gate;
    invariant(input !== undefined, "a subtask has a source or a gate");
    this.input = input;
    this.#turns = new Turns({
      input,
      timers: new ProcessingTimers(parts.processingClock, parts.chain),
      clock: options.clock,
      rooms: [...options.outputs.values(), ...parts.sinks.writers],
      held: parts.chain.held,
      outputs: [...options.outputs.values()],
      flushMs: options.flushMs,
      onHeld: heldLoop(options),
      onEnded: () => host.send("subtask", { type: "input.ended" }),
      onFailure: fail,
    });
    this.#snapshots = this.#snapshotsOf();
    this.#barriers = new Barriers({
      host,
      clock: options.clock,
      generation: options.deployment.generation,
      restoredCheckpointId: options.deployment.restore?.checkpointId ?? 0,
      input: gate,
      channels: options.channels,
      feedback: options.feedback,
      mayBeHeldUp: options.mayBeHeldUp,
      atBorder: (run) => this.#turns.atBorder(run),
      onCollected: (collection) => this.#snapshots.storeChannels(collection),
    });
    this.#underWay = new CheckpointsUnderWay({
      origins: options.origins,
      missingChannels: (checkpointId) => this.#barriers.missing(checkpointId),
      isTaken: (checkpointId) => this.#snapshots.has(checkpointId),
    });
  }

  report(): Omit<SubtaskReport, "subtask" | "generation" | "worker" | "state"> {
    const paused = this.input.paused?.() ?? undefined;
    const hotKeys = hotKeysIn(this.#options.vertex, this.#hotKeys);
    const eventTime = this.input.eventTime(this.#turns.obstacle) ?? undefined;
    const pending = this.input.pending?.();
    return {
      load: { ...this.#turns.load, ...(pending !== undefined && { pending }) },
      ...(paused && { paused }),
      ...(hotKeys && { hotKeys }),
      ...(eventTime && { eventTime }),
      recordsIn: this.input.records,
      skipped: this.input.skipped(),
      operators: this.#parts.chain.figures(),
      checkpoints: this.#underWay.report(),
    };
  }

  look(look: StateLook): LiveFound | undefined {
    return lookIntoState(this.#parts.chain, look);
  }

  /** @param finished the input had ended before the restored checkpoint */
  start(finished: boolean): void {
    if (finished) {
      // What was left of its state is told, or was to be dropped: nothing of it becomes due.
      this.#parts.processingClock.close();
      this.#broadcast({ kind: "endOfData" });
    } else this.input.start();
    this.#turns.start();
  }

  /** Stops the turns: nothing is processed or encoded any more. */
  stop(): void {
    this.#turns.close();
  }

  close(): void {
    this.#turns.close();
    this.#snapshots.close();
  }

  hold(): void {
    this.#turns.hold();
  }

  release(): void {
    this.#turns.release();
  }

  /* ------------------------------------------------------------------ checkpoints */

  /**
   * Takes some cuts before the first record and drops them: else the first cut would compile its code while records
   * wait (D49). Sinks are left out, because their state follows a cut of a transaction. A reader that cannot tell its
   * positions is no failure here: a job that takes no checkpoint never asks it.
   */
  rehearse(): void {
    for (let i = 0; i < REHEARSALS; i++) this.#rehearseOnce();
  }

  #rehearseOnce(): void {
    const inline = this.#positionsForRehearsal();
    if (inline === undefined) return;
    this.#snapshots.take({
      checkpointId: REHEARSAL,
      states: this.#snapshots.cut(this.#parts.chain, null),
      inline,
      flush: async () => {},
      alignmentMs: 0,
      startedMs: this.#options.clock.elapsedMs(),
    });
    this.#snapshots.cancel(REHEARSAL);
  }

  #positionsForRehearsal(): readonly StateHandle[] | undefined {
    try {
      return this.input.cut(REHEARSAL);
    } catch {
      return undefined;
    } finally {
      this.input.abort(REHEARSAL);
    }
  }

  triggered(checkpointId: number): void {
    this.#underWay.begin(checkpointId);
  }

  completed(checkpointId: number): void {
    this.#underWay.complete(checkpointId);
  }

  aborted(checkpointId: number): void {
    this.input.abort(checkpointId);
    this.#underWay.abort(checkpointId);
  }

  /** A source has no barriers to wait for: a trigger is its barrier, between two records. */
  atBorder(run: () => void): void {
    this.#turns.atBorder(run);
  }

  cutTransactions(checkpointId: number): readonly TransactionName[] {
    return this.#parts.sinks.cut(checkpointId);
  }

  emitBarrier(barrier: { readonly checkpointId: number; readonly options: CheckpointOptions }): void {
    if (barrier.options.savepoint !== null) this.#savepoint = barrier.checkpointId;
    this.#base = barrier.options.base;
    this.#broadcast({ kind: "barrier", ...barrier });
  }

  emitCancelMarker(checkpointId: number): void {
    this.#broadcast({ kind: "cancelMarker", checkpointId });
  }

  takeSnapshot(checkpointId: number): void {
    const startedMs = this.#options.clock.elapsedMs();
    const { chain, sinks } = this.#parts;
    const isSavepoint = this.#savepoint === checkpointId;
    // Encoded here, not when the upload is through: what a reader or a writer hands out may be an object that it goes
    // on changing.
    const ofInput = this.input.cut(checkpointId);
    this.#snapshots.take({
      checkpointId,
      states: this.#snapshots.cut(chain, this.#base),
      inline: [...ofInput, ...this.#times(), ...this.#operatorStates(), ...sinks.snapshot()],
      flush: () => sinks.flush(isSavepoint),
      alignmentMs: this.#barriers.alignmentMs,
      startedMs,
    });
  }

  #times(): readonly StateHandle[] {
    return operatorTimeHandles(this.#parts.chain.times(), this.#options.index);
  }

  #operatorStates(): readonly StateHandle[] {
    return operatorStateHandles(this.#parts.chain.operatorStates, this.#options.index);
  }

  cancelSnapshot(checkpointId: number): void {
    this.#snapshots.cancel(checkpointId);
  }

  /** Gives a snapshot up, and answers the names of what may be in the storage. */
  discardSnapshot(checkpointId: number): Promise<readonly string[]> {
    return this.#snapshots.discard(checkpointId);
  }

  acknowledge(checkpointId: number, finished: boolean): SubtaskSnapshot {
    const transactions = this.#parts.sinks.committables(checkpointId);
    const snapshot = this.#snapshots.acknowledgement(checkpointId, finished, transactions);
    this.#underWay.acknowledge(checkpointId);
    return snapshot;
  }

  /* ------------------------------------------------------------------ end of input */

  finish(onFinished: () => void): void {
    this.#turns.insteadOfInput(this.#parts.chain.finish(), () => {
      this.#broadcast({ kind: "endOfData" });
      onFinished();
    });
  }

  #broadcast(frame: ControlFrame): void {
    for (const output of this.#options.outputs.values()) output.broadcast(frame);
  }

  #gateInput(): GateInput | undefined {
    const { gate, clock, ports, origins, loop, restore, feedback, vertex, index, channels } = this.#options;
    const { chain, host } = this.#parts;
    if (gate === undefined) return undefined;
    const time = new EventTimeFlow({
      operator: firstOf(vertex).id,
      subtaskIndex: index,
      chain,
      outputs: chain.held === undefined ? [...this.#options.outputs.values()] : [chain.held],
      channels,
      restored: restore.states,
      finished: restore.finished,
    });
    const wait =
      chain.wait &&
      new PortWait({
        wait: chain.wait,
        ports,
        senders: time.senders,
        hasEnded: (channel) => gate.hasEnded(channel),
        onOver: () => gate.releaseHeld(),
      });
    return new GateInput({
      time,
      feedback: feedback?.channels,
      gate,
      clock,
      heads: channels.map(({ edge }, i) => this.#headOf(edge, ports[i]!)),
      origins,
      rounds: loop && new LoopRounds(host, loop, restore.finished),
      wait,
      hotKeys: this.#hotKeys,
      work: chain.work && {
        channels: [...ports.keys()].filter((channel) => ports[channel] === chain.work!.port),
        begin: () => this.#doWhatIsLeft(chain.work!),
      },
      timeReporter: this.#timeReporter(time, wait),
      onCheckpointFrame: (channel, frame) => this.#barriers.received(channel, frame),
    });
  }

  #doWhatIsLeft(work: OpenWork): void {
    const slices = work.take();
    if (slices !== undefined) this.#turns.insteadOfInput(slices, () => {});
  }

  #timeReporter(flow: EventTimeFlow, wait: PortWait | undefined): TimeReporter | undefined {
    const { clock, graph, vertex, senders } = this.#options;
    if (!hasWatermarks(graph)) return undefined;
    return new TimeReporter({
      clock,
      flow,
      makesWatermarks: firstOf(vertex).details.eventTime?.watermarks !== undefined,
      held: this.#parts.chain.held,
      factsOf: (channel, _, obstacle) => ({
        from: senders[channel]!,
        reason: wait?.held.includes(channel) === true ? "rules" : (obstacle ?? "upstream"),
      }),
    });
  }

  #headOf(edge: string, port: number): Collect<unknown> {
    const { partitioner } = edgeOf(this.#options.graph, edge);
    const { chain } = this.#parts;
    return partitioner.kind === "hash"
      ? chain.headFor(port, keyOfTravelling(partitioner))
      : chain.heads[port]!;
  }

  #snapshotsOf(): SubtaskSnapshots {
    const { vertex, index, deployment, restore, storage, copies, inlineBytesMax, troubles, clock } =
      this.#options;
    const restored = deployment.restore?.checkpointId;
    return new SubtaskSnapshots({
      subtask: `${vertex.id}/${index}`,
      keyGroups: keyGroupRangeOf(index, vertex.parallelism, deployment.maxParallelism),
      deployment,
      restored: restored === undefined ? undefined : { checkpointId: restored, states: restore.states },
      storage,
      copies,
      inlineBytesMax,
      troubles,
      clock,
      turns: this.#turns,
      tell: (event) => this.#parts.host.send("subtask", event),
    });
  }
}
