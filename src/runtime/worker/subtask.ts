/**
 * One subtask in its worker: hosts its machines and does what they name.
 *
 * Owns: the chain, the loop, the sinks and the source of one parallel instance, and the snapshot on its way to storage.
 * Does not own: channels (generation.ts makes them), the decisions (machines/subtask.ts, alignment.ts,
 * sink-transaction.ts).
 */
import { type AlignmentEffects, alignmentMachine } from "../../../machines/alignment.ts";
import type { StateHandle, SubtaskName, SubtaskSnapshot } from "../../../machines/protocol.ts";
import type { SubtaskRestore } from "../../../machines/recovery.ts";
import { type SubtaskEffects, subtaskMachine } from "../../../machines/subtask.ts";
import { objectNames } from "../../checkpoint/storage.ts";
import type { Deployment, GenerationRequest, SubtaskMessage, SubtaskReport } from "../../control/messages.ts";
import { buildChain, type Chain } from "../../dataflow/chain.ts";
import type { SubtaskEnvironment } from "../../dataflow/connector.ts";
import type { InputGate } from "../../dataflow/input-gate.ts";
import type { Vertex } from "../../dataflow/operator.ts";
import type { EdgeOutput } from "../../dataflow/output.ts";
import { type SourceReader, type SourceSplit, type SplitPosition, splitsOf } from "../../dataflow/source.ts";
import { describeError, invariant, retryOf } from "../../errors.ts";
import { type EffectHandlers, Host, type MachineEvent } from "../actor.ts";
import { stepEvent } from "../step-event.ts";
import type { WorkerSurroundings } from "../surroundings.ts";
import { SinkTransactions } from "./sink-transactions.ts";
import { SnapshotUpload } from "./snapshot-upload.ts";
import { createStagingArea } from "./staging.ts";
import { endedInput, gateInput, type InputCounter, sourceInput } from "./subtask-input.ts";
import { SubtaskLoop } from "./subtask-loop.ts";
import { restoreKeyedState } from "./subtask-state.ts";

export interface SubtaskOptions extends WorkerSurroundings {
  readonly vertex: Vertex;
  readonly index: number;
  readonly deployment: Deployment;
  readonly restore: SubtaskRestore;
  readonly gate: InputGate | undefined;
  /** Where each channel of the gate comes from. */
  readonly origins: readonly string[];
  readonly outputs: ReadonlyMap<string, EdgeOutput>;
  /** The generation ends: whatever is still repeated stops. */
  readonly signal: AbortSignal;
  /** To the generation's leader, until it is answered or the generation ends. */
  readonly send: (message: SubtaskMessage) => void;
}

interface TakenSnapshot {
  readonly checkpointId: number;
  readonly upload: SnapshotUpload;
  readonly inline: readonly StateHandle[];
  readonly positions: readonly SplitPosition[];
  readonly alignmentMs: number;
  readonly syncMs: number;
  readonly startedMs: number;
  states: readonly StateHandle[];
}

export class Subtask {
  readonly name: SubtaskName;
  readonly #options: SubtaskOptions;
  readonly #host: Host;
  readonly #sinks: SinkTransactions;
  readonly #counter: InputCounter = { records: 0 };
  #chain: Chain | undefined;
  #loop: SubtaskLoop | undefined;
  #reader: SourceReader<unknown> | undefined;
  #taken: TakenSnapshot | undefined;
  /** Source positions of checkpoints that are not decided yet. */
  readonly #positions = new Map<number, readonly SplitPosition[]>();
  #alignmentBeganMs = 0;
  /** The job stops with this checkpoint: nothing is read behind its barrier, unless it is aborted. */
  #stoppingAt = 0;
  #abortedUpTo = 0;
  #drain: () => void = () => {};
  #alignmentMs = 0;
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
    this.#sinks = new SinkTransactions({
      host: this.#host,
      incarnation: deployment.incarnation,
      subtaskIndex: index,
      retryMs: options.timings.commitRetryMs,
      environmentOf: (operator, restoredState) => ({
        ...this.#environment(operator),
        restoredState,
        restoredCheckpointId: deployment.restore?.checkpointId ?? 0,
        staging: createStagingArea({
          storage: options.storage,
          at: { ...deployment, sink: operator, writer: index },
          signal: options.signal,
        }),
      }),
    });
  }

  start(): void {
    const { deployment, gate, restore } = this.#options;
    const restoredCheckpointId = deployment.restore?.checkpointId ?? 0;
    if (gate !== undefined)
      this.#host.start({
        id: "alignment",
        machine: alignmentMachine,
        input: { generation: deployment.generation, channels: gate.channelCount, restoredCheckpointId },
        handlers: this.#alignmentHandlers(gate),
      });
    this.#host.start({
      id: "subtask",
      machine: subtaskMachine,
      input: {
        subtask: this.name,
        generation: deployment.generation,
        restoredCheckpointId,
        finished: restore.finished,
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
        // A trigger says that the whole generation runs: it may overtake the start that said so.
        if (this.#host.state("subtask") === "restored")
          this.#host.send("subtask", {
            type: "generation.started",
            generation: message.generation,
          } as MachineEvent);
        if (this.#options.gate === undefined) this.#triggerSource(message.checkpointId, message.stop);
        return;
      case "generation.drain":
        this.#drain();
        return;
      case "checkpoint.aborted":
        this.#positions.delete(message.checkpointId);
        this.#abortedUpTo = Math.max(this.#abortedUpTo, message.checkpointId);
        if (this.#stoppingAt === message.checkpointId) this.#loop?.resume();
        this.#host.send("alignment", message);
        this.#host.send("subtask", message);
        return;
      case "checkpoint.completed":
        this.#host.send("subtask", message);
        return;
    }
  }

  report(): Omit<SubtaskReport, "worker"> {
    return {
      subtask: this.name,
      state: this.#host.state("subtask"),
      recordsIn: this.#counter.records,
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
    this.#loop?.close();
    this.#taken?.upload.cancel();
    await this.#sinks.close();
    this.#host.close();
    this.#options.gate?.close();
    for (const output of this.#options.outputs.values()) output.close();
    await this.#reader?.close();
  }

  #environment(operator: string): SubtaskEnvironment {
    const { deployment, vertex, index, logger, nats } = this.#options;
    return {
      job: deployment.job,
      incarnation: deployment.incarnation,
      generation: deployment.generation,
      nonce: deployment.nonce,
      operator,
      subtaskIndex: index,
      parallelism: vertex.parallelism,
      logger,
      nats,
      fail: (error) => this.fail(error),
    };
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
    this.#loop?.close();
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
        if (finished) this.#broadcastEnd();
        this.#loop?.start();
      },
      "cut.transactions": ({ checkpointId }) =>
        this.#host.send("subtask", {
          type: "transactions.cut",
          checkpointId,
          transactions: this.#sinks.cut(checkpointId),
        } as MachineEvent),
      "emit.barrier": ({ checkpointId }) => {
        for (const output of this.#options.outputs.values())
          output.broadcast({ kind: "barrier", checkpointId });
      },
      "take.snapshot": ({ checkpointId }) => this.#takeSnapshot(checkpointId),
      "cancel.snapshot": ({ checkpointId }) => {
        if (this.#taken?.checkpointId !== checkpointId) return;
        this.#loop?.dropSnapshot();
        this.#taken.upload.cancel();
        this.#taken = undefined;
      },
      "send.acknowledgement": ({ checkpointId, finished, generation, subtask }) =>
        send({
          type: "subtask.acknowledged",
          generation,
          checkpointId,
          subtask,
          snapshot: this.#acknowledgement(checkpointId, finished),
        }),
      "send.decline": ({ reason: detail, ...message }) =>
        send({ type: "subtask.declined", ...message, reason: "async-exception", detail }),
      "send.committed": (message) => send({ type: "subtask.committed", ...message }),
      "report.progress": ({ checkpointId }) => this.#reportProgress(checkpointId),
      "run.finish": () => this.#finish(),
      "send.ended": (message) => send({ type: "subtask.ended", ...message }),
      "send.failure": (message) => {
        this.#loop?.close();
        send({ type: "subtask.failed", ...message });
      },
      "close.operators": () => void this.#closeOperators(),
    };
  }

  async #restore(): Promise<void> {
    const { vertex, index, restore, deployment, outputs, gate, storage, signal } = this.#options;
    try {
      const transactions = await this.#sinks.open(vertex.operators, restore);
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
        });
        await restoreKeyedState(chain, restore.states, storage, signal);
        const input = gate === undefined ? await this.#openSource(chain) : this.#openGate(gate, chain);
        this.#chain = chain;
        this.#loop = new SubtaskLoop({
          input,
          outputs: [...outputs.values()],
          sinks: this.#sinks.writers,
          flushMs: this.#options.flushMs,
          onEnded: () => this.#host.send("subtask", { type: "input.ended" }),
          onFailure: (error) => this.fail(error),
        });
        await Promise.all([...outputs.values()].map((output) => output.opened()));
      }
      this.#host.send("subtask", { type: "state.restored", transactions } as MachineEvent);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    }
  }

  async #openSource(chain: Chain) {
    const { vertex, index, deployment, restore } = this.#options;
    const operator = vertex.operators[0]?.operator;
    invariant(operator?.kind === "source", `vertex ${vertex.id} has neither a source nor an input`);
    if (restore.finished) return endedInput;
    const restored = restore.states.find(
      (state) => state.kind === "splits" && state.operator === operator.id,
    );
    const dealt = splitsOf(deployment.splits[operator.id] ?? [], index, vertex.parallelism);
    const positions =
      (restored?.inline as readonly SplitPosition[] | undefined) ??
      dealt.map((split) => ({ split: split as SourceSplit, position: undefined }));
    this.#reader = await operator.source.open(this.#environment(operator.id), positions);
    const input = sourceInput(this.#reader, operator.id, chain, this.#counter);
    this.#drain = () => {
      input.drain();
      this.#loop?.wake();
    };
    return input;
  }

  #openGate(gate: InputGate, chain: Chain) {
    return gateInput(gate, chain, this.#counter, this.#options.origins, (channel, frame) => {
      if (frame.kind === "barrier")
        this.#host.send("alignment", {
          type: "barrier.received",
          channel,
          checkpointId: frame.checkpointId,
        } as MachineEvent);
    });
  }

  /** A source has no barriers to wait for: the trigger is its barrier, taken between two records. */
  #triggerSource(checkpointId: number, stop: boolean): void {
    this.#loop?.atBorder(() => {
      this.#alignmentMs = 0;
      if (stop && checkpointId > this.#abortedUpTo) {
        this.#stoppingAt = checkpointId;
        this.#loop?.hold();
      }
      this.#host.send("subtask", { type: "barrier.aligned", checkpointId } as MachineEvent);
    });
  }

  #alignmentHandlers(gate: InputGate): EffectHandlers<AlignmentEffects> {
    return {
      "block.channel": ({ channel }) => {
        if (this.#alignmentBeganMs === 0) this.#alignmentBeganMs = performance.now();
        gate.block(channel);
      },
      "unblock.channels": () => {
        this.#alignmentMs = this.#alignmentBeganMs === 0 ? 0 : performance.now() - this.#alignmentBeganMs;
        this.#alignmentBeganMs = 0;
        gate.unblockAll();
      },
    };
  }

  /* ------------------------------------------------------------------ snapshots */

  #takeSnapshot(checkpointId: number): void {
    const { deployment, index, storage, inlineBytesMax } = this.#options;
    const startedMs = performance.now();
    invariant(this.#chain !== undefined && this.#loop !== undefined, "a snapshot before the restore");
    const positions = this.#reader?.snapshot() ?? [];
    const upload = new SnapshotUpload({
      cuts: this.#chain.snapshot(),
      subtaskIndex: index,
      storage,
      inlineBytesMax,
      objectName: (part) => objectNames.state({ ...deployment, checkpointId, subtask: this.name, part }),
      onRoom: () => this.#loop?.wake(),
    });
    const taken: TakenSnapshot = {
      checkpointId,
      upload,
      inline: [...this.#splitState(positions), ...this.#sinks.snapshot()],
      positions,
      alignmentMs: this.#alignmentMs,
      syncMs: performance.now() - startedMs,
      startedMs,
      states: [],
    };
    this.#taken = taken;
    this.#positions.set(checkpointId, positions);
    const flushed = this.#sinks.writers.map((writer) => writer.flush());
    for (const flush of flushed) flush.catch(() => undefined);
    this.#loop.takeSnapshot({ step: (deadlineMs) => this.#encode(taken, flushed, deadlineMs) });
  }

  #splitState(positions: readonly SplitPosition[]): StateHandle[] {
    const { vertex, index, restore } = this.#options;
    const operator = vertex.operators[0]!.operator;
    if (operator.kind !== "source") return [];
    if (this.#reader === undefined) return restore.states.filter((state) => state.kind === "splits");
    return [{ operator: operator.id, subtaskIndex: index, kind: "splits", inline: positions, objects: [] }];
  }

  /** One slice of the asynchronous part. */
  #encode(taken: TakenSnapshot, flushed: readonly Promise<void>[], deadlineMs: number): boolean {
    const more = taken.upload.step(deadlineMs);
    if (!taken.upload.encoded) return more;
    this.#loop?.dropSnapshot();
    void this.#awaitStored(taken, flushed);
    return false;
  }

  async #awaitStored(taken: TakenSnapshot, flushed: readonly Promise<void>[]): Promise<void> {
    const { checkpointId } = taken;
    try {
      await Promise.all(flushed);
      taken.states = [...taken.inline, ...(await taken.upload.stored())];
      this.#host.send("subtask", { type: "snapshot.stored", checkpointId } as MachineEvent);
    } catch (error) {
      if (this.#taken !== taken) return;
      const reason = describeError(error);
      this.#host.send("subtask", { type: "snapshot.failed", checkpointId, reason } as MachineEvent);
    }
  }

  #acknowledgement(checkpointId: number, finished: boolean): SubtaskSnapshot {
    const taken = this.#taken;
    invariant(taken?.checkpointId === checkpointId, `no snapshot of checkpoint ${checkpointId}`);
    const transactions = this.#sinks.committables(checkpointId);
    const objects = [...taken.states.flatMap((state) => state.objects)];
    return {
      subtask: this.name,
      states: taken.states,
      transactions,
      finished,
      alignmentMs: taken.alignmentMs,
      syncMs: taken.syncMs,
      asyncMs: performance.now() - taken.startedMs - taken.syncMs,
      bytes: objects.reduce((sum, object) => sum + object.bytes, 0),
    };
  }

  #reportProgress(checkpointId: number): void {
    const positions = this.#positions.get(checkpointId);
    for (const id of this.#positions.keys()) if (id <= checkpointId) this.#positions.delete(id);
    if (positions !== undefined) this.#reader?.checkpointCompleted(positions);
  }

  /* ------------------------------------------------------------------ end of input */

  #finish(): void {
    invariant(this.#chain !== undefined && this.#loop !== undefined, "the end of input before the restore");
    const finish = this.#chain.finish();
    this.#loop.finish(
      () => finish.step(),
      () => {
        this.#broadcastEnd();
        this.#host.send("subtask", { type: "finish.completed" });
      },
    );
  }

  #broadcastEnd(): void {
    for (const output of this.#options.outputs.values()) output.broadcast({ kind: "endOfData" });
  }
}
