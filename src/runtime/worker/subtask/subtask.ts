/**
 * One subtask in its worker: hosts its machines and does what they name.
 *
 * Owns: the chain, the turns, the sinks and the source of one parallel instance. Does not own: channels (generation.ts makes
 * them), barriers at its gate (barriers.ts), snapshots on their way to storage (subtask-snapshots.ts), the decisions
 * (machines/worker/subtask.ts).
 */

import type { DeclineReason, StateHandle, SubtaskName } from "../../../../machines/protocol.ts";
import type { FeedbackChannels } from "../../../../machines/worker/alignment.ts";
import { type SubtaskEffects, subtaskMachine } from "../../../../machines/worker/subtask.ts";
import type {
  Deployment,
  GenerationRequest,
  SubtaskMessage,
  SubtaskReport,
} from "../../../control/messages.ts";
import { buildChain, type Chain } from "../../../dataflow/chain.ts";
import type { ChannelId, ControlFrame } from "../../../dataflow/channel/frame.ts";
import type { SubtaskEnvironment } from "../../../dataflow/connector.ts";
import { firstOf, senderOf, type Vertex } from "../../../dataflow/graph.ts";
import { openReader } from "../../../dataflow/guards/guarded-source.ts";
import type { InputGate } from "../../../dataflow/input-gate.ts";
import { isSplits, splitsHandle, splitsIn } from "../../../dataflow/operators/source.ts";
import type { EdgeOutput } from "../../../dataflow/output.ts";
import {
  positionsOf,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
  splitsOf,
} from "../../../dataflow/source.ts";
import { describeError, invariant, OperatorError, RecordTooLargeError, retryOf } from "../../../errors.ts";
import type { SubtaskRestore } from "../../../job/restore/assignment.ts";
import { keyGroupRangeOf } from "../../../state/key-groups.ts";
import { type EffectHandlers, Host, type MachineEvent } from "../../actor.ts";
import { stepEvent } from "../../step-event.ts";
import type { WorkerSurroundings } from "../../surroundings.ts";
import { SinkTransactions } from "../sinks/sink-transactions.ts";
import { createStagingArea, readerOf } from "../sinks/staging.ts";
import { restoreChannels } from "../snapshots/channel-state.ts";
import { restoreKeyedState } from "../snapshots/restore.ts";
import { SubtaskSnapshots } from "../snapshots/subtask-snapshots.ts";
import { Barriers } from "./barriers.ts";
import { CheckpointsUnderWay } from "./checkpoints-under-way.ts";
import { endedInput, GateInput, type InputCounter, sourceInput } from "./input.ts";
import { type LoopPlace, LoopRounds } from "./rounds.ts";
import { SkippedInput } from "./skipped-input.ts";
import { Turns } from "./turns.ts";

export interface SubtaskOptions extends WorkerSurroundings {
  readonly vertex: Vertex;
  readonly index: number;
  readonly deployment: Deployment;
  readonly restore: SubtaskRestore;
  readonly gate: InputGate | undefined;
  /** The channels of the gate, the port that each leads to, and where it comes from, in words. */
  readonly channels: readonly ChannelId[];
  readonly ports: readonly number[];
  readonly origins: readonly string[];
  readonly outputs: ReadonlyMap<string, EdgeOutput>;
  readonly checks: boolean;
  readonly loop: LoopPlace | undefined;
  readonly feedback: FeedbackChannels | undefined;
  /** The generation ends: whatever is still repeated stops. */
  readonly signal: AbortSignal;
  /** To the generation's leader, until it is answered or the generation ends. */
  readonly send: (message: SubtaskMessage) => void;
}

/** Who holds the input: the barrier that the job stops with, or a cut that waits. */
const STOP = "stop";

export class Subtask {
  readonly name: SubtaskName;
  readonly #options: SubtaskOptions;
  readonly #host: Host;
  readonly #sinks: SinkTransactions;
  readonly #barriers: Barriers;
  readonly #rounds: LoopRounds | undefined;
  readonly #snapshots: SubtaskSnapshots;
  readonly #counter: InputCounter = { records: 0 };
  #chain: Chain | undefined;
  #turns: Turns | undefined;
  #reader: SourceReader<unknown> | undefined;
  /** Source positions of checkpoints that are not decided yet. */
  readonly #positions = new Map<number, readonly SplitPosition[]>();
  #drain: () => void = () => {};
  readonly #underWay: CheckpointsUnderWay;
  #skippedInput: SkippedInput | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SubtaskOptions) {
    this.#options = options;
    const { vertex, index, clock, logger, deployment } = options;
    this.name = `${vertex.id}/${index}`;
    this.#host = new Host({
      clock,
      observe: (step) =>
        options.feed.publish(
          stepEvent(step, {
            t: clock.nowMs(),
            job: deployment.job,
            generation: deployment.generation,
            id: `${this.name}${step.actor === "subtask" ? "" : `/${step.actor}`}`,
          }),
        ),
      onUnhandled: (actor, event, state) =>
        logger.debug({ subtask: this.name, actor, event: event.type, state }, "event has no meaning here"),
      onCrash: (error) => this.#crash(error),
    });
    this.#rounds = options.loop && new LoopRounds(this.#host, options.loop);
    this.#sinks = new SinkTransactions({
      host: this.#host,
      incarnation: deployment.incarnation,
      subtaskIndex: index,
      retryMs: options.timings.commitRetryMs,
      troubles: options.troubles,
      clock,
      environmentOf: (operator, restoredState) => ({
        ...this.#environment(operator),
        restoredState,
        restoredCheckpointId: deployment.restore?.checkpointId ?? 0,
        staging: createStagingArea({
          storage: options.storage,
          at: { ...deployment, sink: operator, writer: index },
          troubles: options.troubles,
          clock,
          signal: options.signal,
        }),
      }),
    });
    this.#snapshots = new SubtaskSnapshots({
      ...options,
      subtask: this.name,
      keyGroups: keyGroupRangeOf(index, vertex.parallelism, deployment.maxParallelism),
      tell: (event) => this.#host.send("subtask", event),
    });
    this.#barriers = new Barriers({
      ...options,
      host: this.#host,
      generation: deployment.generation,
      restoredCheckpointId: deployment.restore?.checkpointId ?? 0,
      atBorder: (run) => this.#turns?.atBorder(run),
      onCollected: (collection) => this.#snapshots.storeChannels(collection),
    });
    this.#underWay = new CheckpointsUnderWay({
      origins: options.origins,
      missingChannels: (checkpointId) => this.#barriers.missing(checkpointId),
      isTaken: (checkpointId) => this.#snapshots.has(checkpointId),
    });
  }

  start(): void {
    const { deployment, restore } = this.#options;
    const restoredCheckpointId = deployment.restore?.checkpointId ?? 0;
    this.#barriers.start();
    if (!restore.finished) this.#rounds?.start();
    this.#host.start({
      id: "subtask",
      machine: subtaskMachine,
      input: {
        subtask: this.name,
        generation: deployment.generation,
        restoredCheckpointId,
        finished: restore.finished,
        source: this.#options.gate === undefined,
      },
      handlers: this.#handlers(),
      siblings: (name, params) =>
        name === "transaction"
          ? this.#sinks.actorOf((params as { readonly transaction: string }).transaction)
          : [name],
    });
  }

  receive(message: GenerationRequest): void {
    switch (message.type) {
      case "generation.start":
        this.#host.send("subtask", { ...message, type: "generation.started" });
        return;
      case "checkpoint.trigger":
        this.#underWay.begin(message.checkpointId);
        this.#host.send("subtask", { ...message, type: "checkpoint.triggered" });
        return;
      case "generation.drain":
        this.#host.send("subtask", { ...message, type: "drain.requested" });
        return;
      case "checkpoint.aborted":
        this.#positions.delete(message.checkpointId);
        this.#underWay.abort(message.checkpointId);
        this.#barriers.aborted(message);
        this.#host.send("subtask", message);
        return;
      case "checkpoint.completed":
        this.#underWay.complete(message.checkpointId);
        this.#host.send("subtask", message);
        return;
    }
  }

  report(): Omit<SubtaskReport, "worker"> {
    return {
      subtask: this.name,
      generation: this.#options.deployment.generation,
      state: this.#host.state("subtask"),
      recordsIn: this.#counter.records,
      skipped: this.#skippedInput?.report() ?? null,
      checkpoints: this.#underWay.report(),
    };
  }

  /** Ends everything that this subtask does; afterwards it holds nothing. */
  async close(): Promise<void> {
    const { generation } = this.#options.deployment;
    this.#host.send("subtask", { type: "generation.ended", generation } as MachineEvent);
    // A machine that has crashed names no effects any more.
    await this.#closeOperators();
  }

  #closeOperators(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#turns?.close();
    this.#snapshots.close();
    await this.#sinks.close();
    this.#host.close();
    this.#options.gate?.close();
    for (const output of this.#options.outputs.values()) output.close();
    await Promise.all([this.#reader?.close(), this.#closeChain()]);
  }

  async #closeChain(): Promise<void> {
    try {
      await this.#chain?.close();
    } catch (error) {
      const { logger } = this.#options;
      logger.warn({ subtask: this.name, error: describeError(error) }, "an operator could not be closed");
    }
  }

  #environment(operator: string): SubtaskEnvironment {
    const { deployment, vertex, index, logger, troubles, nats, signal } = this.#options;
    return {
      job: deployment.job,
      incarnation: deployment.incarnation,
      generation: deployment.generation,
      nonce: deployment.nonce,
      operator,
      subtaskIndex: index,
      parallelism: vertex.parallelism,
      logger,
      troubles,
      nats,
      signal,
      fail: (error) => this.fail(error),
    };
  }

  /** A channel of this edge has failed. What is wrong with a record is told of the operator that handed it on. */
  failSending(edge: string, error: unknown): void {
    const cause = error instanceof Error ? error.cause : undefined;
    const sender = senderOf(this.#options.vertex, edge);
    if (cause instanceof RecordTooLargeError && sender !== undefined) {
      // It may have waited for its frame while a few more were read.
      const read = this.#reader?.describePosition() ?? `a record from ${this.#options.origins.join(" or ")}`;
      this.fail(new OperatorError(sender.id, cause, `${read}, or shortly before it`));
    } else {
      this.fail(error);
    }
  }

  /** The subtask cannot go on; the generation fails with this error. */
  fail(error: unknown): void {
    const retry = retryOf(error) === "never" ? "never" : "restart";
    this.#host.send("subtask", {
      type: "subtask.broke",
      reason: describeError(error),
      retry,
    } as MachineEvent);
  }

  /** A machine or handler threw: told to the leader without the machine, which is gone. */
  #crash(error: unknown): void {
    this.#options.logger.error({ subtask: this.name, error: describeError(error) }, "subtask crashed");
    this.#turns?.close();
    this.#options.send({
      type: "subtask.failed",
      generation: this.#options.deployment.generation,
      subtask: this.name,
      reason: describeError(error),
      retry: retryOf(error) === "never" ? "never" : "restart",
    });
  }

  /* ------------------------------------------------------------------ effects of the subtask machine */

  #handlers(): EffectHandlers<SubtaskEffects> {
    const { send } = this.#options;
    return {
      "restore.state": () => void this.#restore(),
      "send.restored": (message) => send({ type: "subtask.restored", ...message }),
      "run.input": ({ finished }) => {
        if (finished) this.#broadcast({ kind: "endOfData" });
        this.#turns?.start();
      },
      "inject.barrier": ({ checkpointId, options }) => this.#barriers.inject(checkpointId, options),
      "hold.source": () => this.#turns?.hold(STOP),
      "resume.source": () => this.#turns?.release(STOP),
      "drain.source": () => this.#drain(),
      "cut.transactions": ({ checkpointId }) =>
        this.#host.send("subtask", {
          type: "transactions.cut",
          checkpointId,
          transactions: this.#sinks.cut(checkpointId),
        } as MachineEvent),
      "emit.barrier": ({ checkpointId, alignment }) => {
        const options = this.#barriers.optionsOf(checkpointId, alignment);
        this.#broadcast({ kind: "barrier", checkpointId, options });
      },
      "emit.cancelMarker": ({ checkpointId }) => this.#broadcast({ kind: "cancelMarker", checkpointId }),
      "take.snapshot": ({ checkpointId }) => this.#takeSnapshot(checkpointId),
      "cancel.snapshot": ({ checkpointId }) => this.#snapshots.cancel(checkpointId),
      "discard.snapshot": (message) =>
        void this.#snapshots
          .discard(message.checkpointId)
          .then((objects) => send({ type: "subtask.discarded", ...message, objects })),
      "send.acknowledgement": ({ checkpointId, finished, generation, subtask }) => {
        const transactions = this.#sinks.committables(checkpointId);
        const snapshot = this.#snapshots.acknowledgement(checkpointId, finished, transactions);
        this.#underWay.acknowledge(checkpointId);
        send({ type: "subtask.acknowledged", generation, checkpointId, subtask, snapshot });
      },
      "send.decline": ({ reason: detail, ...message }) =>
        send({ type: "subtask.declined", ...message, reason: declineReasonOf(detail), detail }),
      "send.committed": (message) => send({ type: "subtask.committed", ...message }),
      "report.progress": ({ checkpointId }) => this.#reportProgress(checkpointId),
      "run.finish": () => this.#finish(),
      "send.ended": (message) => send({ type: "subtask.ended", ...message }),
      "send.failure": (message) => {
        this.#turns?.close();
        send({ type: "subtask.failed", ...message });
      },
      "close.operators": () => void this.#closeOperators(),
    };
  }

  async #restore(): Promise<void> {
    const { vertex, index, restore, deployment, outputs, gate, signal, clock } = this.#options;
    try {
      const transactions = await this.#sinks.open(vertex.operators, restore);
      if (this.#closing !== undefined) return;
      if (!deployment.settle) {
        const chain = buildChain(vertex, {
          subtaskIndex: index,
          maxParallelism: deployment.maxParallelism,
          output: (edge) => {
            const output = outputs.get(edge);
            invariant(output !== undefined, `edge ${edge} has no output`);
            return output.collect;
          },
          writer: (operator) => this.#sinks.writer(operator),
          checks: this.#options.checks,
        });
        this.#chain = chain;
        await restoreKeyedState(chain, restore.states, readerOf(this.#options), clock);
        const input = gate === undefined ? await this.#openSource(chain) : await this.#openGate(gate, chain);
        this.#turns = new Turns({
          input,
          clock,
          outputs: [...outputs.values()],
          sinks: this.#sinks.writers,
          flushMs: this.#options.flushMs,
          onEnded: () => this.#host.send("subtask", { type: "input.ended" }),
          onFailure: (error) => this.fail(error),
        });
        this.#snapshots.workIn(this.#turns);
        await Promise.all([...outputs.values()].map((output) => output.opened()));
      }
      this.#host.send("subtask", { type: "state.restored", transactions } as MachineEvent);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  async #openSource(chain: Chain) {
    const { vertex, index, deployment, restore } = this.#options;
    const operator = firstOf(vertex);
    const { source } = operator.details;
    invariant(source !== undefined, `vertex ${vertex.id} has neither a source nor an input`);
    if (restore.finished) return endedInput;
    const dealt = splitsOf(deployment.splits[operator.id] ?? [], index, vertex.parallelism);
    const read = splitsIn(restore.states, operator.id);
    const positions = positionsOf(read, dealt as SourceSplit[], deployment.splits[operator.id] ?? []);
    this.#reader = await openReader(operator.id, source, this.#environment(operator.id), positions);
    this.#skippedInput = new SkippedInput(this.#reader, this.name, this.#options);
    const input = sourceInput(this.#reader, operator.id, chain, this.#counter);
    this.#drain = () => {
      input.drain();
      this.#turns?.wake();
    };
    return input;
  }

  async #openGate(gate: InputGate, chain: Chain) {
    const { channels, ports, origins, restore, clock } = this.#options;
    await restoreChannels(gate, channels, restore.channels, readerOf(this.#options), clock);
    const input = new GateInput({
      gate,
      clock,
      heads: ports.map((port) => chain.heads[port]!),
      counter: this.#counter,
      origins,
      rounds: this.#rounds,
      onCheckpointFrame: (channel, frame) => this.#barriers.received(channel, frame),
    });
    this.#barriers.readFrom(input);
    return input;
  }

  /* ------------------------------------------------------------------ snapshots */

  #takeSnapshot(checkpointId: number): void {
    const startedMs = this.#options.clock.elapsedMs();
    const chain = this.#chain;
    invariant(chain !== undefined, "a snapshot before the restore");
    const positions = this.#reader?.snapshot() ?? [];
    this.#positions.set(checkpointId, positions);
    this.#snapshots.take({
      checkpointId,
      states: chain.snapshot(),
      inline: [...this.#splitState(positions), ...this.#sinks.snapshot()],
      flushed: this.#sinks.writers.map((writer) => writer.flush()),
      alignmentMs: this.#barriers.alignmentMs,
      startedMs,
    });
  }

  #splitState(positions: readonly SplitPosition[]): StateHandle[] {
    const { vertex, index, restore } = this.#options;
    const operator = firstOf(vertex);
    if (operator.details.source === undefined) return [];
    if (this.#reader === undefined) return restore.states.filter(isSplits);
    return [splitsHandle(operator.id, index, positions)];
  }

  #reportProgress(checkpointId: number): void {
    const positions = this.#positions.get(checkpointId);
    for (const id of this.#positions.keys()) if (id <= checkpointId) this.#positions.delete(id);
    if (positions !== undefined) this.#reader?.checkpointCompleted(positions);
  }

  /* ------------------------------------------------------------------ end of input */

  #finish(): void {
    invariant(this.#chain !== undefined && this.#turns !== undefined, "the end of input before the restore");
    const finish = this.#chain.finish();
    this.#turns.finish(
      () => finish.step(),
      () => {
        this.#broadcast({ kind: "endOfData" });
        this.#host.send("subtask", { type: "finish.completed" });
      },
    );
  }

  #broadcast(frame: ControlFrame): void {
    for (const output of this.#options.outputs.values()) output.broadcast(frame);
  }
}

/** Barriers that could not be completed name themselves; all else is a snapshot that could not be stored. */
function declineReasonOf(detail: string): DeclineReason {
  return detail === "declined-subsumed" || detail === "declined-on-cancellation-barrier"
    ? detail
    : "async-exception";
}
