/**
 * One subtask in its worker: hosts its machines and does what they name.
 *
 * Owns: the life of one parallel instance, from its restore to its end. Does not own: channels (generation.ts makes
 * them), opening and loading (restore.ts), what it does while it runs (running.ts), the decisions
 * (machines/worker/subtask.ts).
 */

import type { SubtaskName } from "../../../../machines/protocol.ts";
import type { Roles } from "../../../../machines/roles.ts";
import { eventOf } from "../../../../machines/wiring.ts";
import type { FeedbackChannels } from "../../../../machines/worker/alignment.ts";
import { subtaskMachine } from "../../../../machines/worker/subtask.ts";
import type {
  Deployment,
  GenerationRequest,
  SubtaskMessage,
  SubtaskReport,
} from "../../../control/messages.ts";
import type { LiveSubtask, StateLook } from "../../../control/requests/live-state.ts";
import type { ShortAnswer } from "../../../control/shapes.ts";
import type { ChannelId } from "../../../dataflow/channel/frame.ts";
import type { SubtaskEnvironment } from "../../../dataflow/connector.ts";
import { type JobGraph, senderOf, type Vertex } from "../../../dataflow/graph.ts";
import type { InputGate } from "../../../dataflow/input-gate.ts";
import type { EdgeOutput } from "../../../dataflow/output.ts";
import { describeError, invariant, OperatorError, RecordTooLargeError, retryOf } from "../../../errors.ts";
import type { SubtaskRestore } from "../../../job/restore/assignment.ts";
import { type AnswerOf, type EffectHandlers, Host } from "../../actor.ts";
import { stepEvent } from "../../step-event.ts";
import type { WorkerSurroundings } from "../../surroundings.ts";
import type { LoopPlace } from "./input/rounds.ts";
import { OpenParts } from "./open-parts.ts";
import { type RestoredSubtask, restoreSubtask } from "./restore.ts";
import type { RunningSubtask } from "./running.ts";

export interface SubtaskOptions extends WorkerSurroundings {
  readonly graph: JobGraph;
  readonly vertex: Vertex;
  readonly index: number;
  readonly deployment: Deployment;
  readonly restore: SubtaskRestore;
  readonly gate: InputGate | undefined;
  /** The channels of the gate, the port that each leads to, and where it comes from: the sender, and in words. */
  readonly channels: readonly ChannelId[];
  readonly ports: readonly number[];
  readonly senders: readonly SubtaskName[];
  readonly origins: readonly string[];
  readonly outputs: ReadonlyMap<string, EdgeOutput>;
  readonly checks: boolean;
  readonly loop: LoopPlace | undefined;
  readonly feedback: FeedbackChannels | undefined;
  /** Its records lead to a port that may be held back, so its barriers may have to overtake (P88). */
  readonly mayBeHeldUp: boolean;
  /** Aborts when the generation ends: what is repeated then stops. */
  readonly signal: AbortSignal;
  /** Sends to the generation's leader, until it answers or the generation ends; then it resolves with undefined. */
  readonly send: (message: SubtaskMessage) => Promise<ShortAnswer | undefined>;
}

/** What a subtask reports that is not running. */
const NOTHING_YET = { recordsIn: 0, skipped: null, operators: [], checkpoints: [] } as const;

export class Subtask {
  readonly name: SubtaskName;
  readonly #options: SubtaskOptions;
  readonly #host: Host;
  readonly #parts: OpenParts;
  /** The restored subtask; undefined: the restore is not done. */
  #restored: RestoredSubtask | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: SubtaskOptions) {
    this.#options = options;
    const { vertex, index, clock, logger, deployment } = options;
    this.name = `${vertex.id}/${index}`;
    this.#parts = new OpenParts((error) =>
      logger.warn(
        { subtask: this.name, error: describeError(error) },
        "a source, a sink or an operator could not be closed",
      ),
    );
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
  }

  start(): void {
    const { deployment, restore, gate } = this.#options;
    this.#host.start({
      id: "subtask",
      machine: subtaskMachine,
      input: {
        subtask: this.name,
        generation: deployment.generation,
        restoredCheckpointId: deployment.restore?.checkpointId ?? 0,
        finished: restore.finished,
        source: gate === undefined,
      },
      handlers: this.#handlers(),
      siblings: (name, params) =>
        name === "transaction"
          ? (this.#restored?.sinks.actorOf((params as { readonly transaction: string }).transaction) ?? [])
          : [name],
    });
  }

  receive(message: GenerationRequest): void {
    const running = this.#restored?.running;
    if (message.type === "checkpoint.triggered") running?.triggered(message.checkpointId);
    if (message.type === "checkpoint.aborted") running?.aborted(message.checkpointId);
    if (message.type === "checkpoint.completed") running?.completed(message.checkpointId);
    this.#host.tell(message);
  }

  report(): Omit<SubtaskReport, "worker"> {
    return {
      subtask: this.name,
      generation: this.#options.deployment.generation,
      state: this.#host.state("subtask"),
      ...(this.#restored?.running?.report() ?? NOTHING_YET),
    };
  }

  /** What it holds now; undefined: it does not run, or has nothing of what is asked for. */
  look(look: StateLook): LiveSubtask | undefined {
    const found = this.#restored?.running?.look(look);
    return found && { subtask: this.name, generation: this.#options.deployment.generation, ...found };
  }

  /** Ends everything that this subtask does; afterwards it holds nothing. */
  async close(): Promise<void> {
    const { generation } = this.#options.deployment;
    this.#host.tell(eventOf("generation.ended", { generation }));
    // A machine that has crashed names no effects any more.
    await this.#closeOperators();
  }

  #closeOperators(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#restored?.running?.close();
    this.#restored?.sinks.end();
    await this.#parts.close();
    this.#host.close();
    this.#options.gate?.close();
    for (const output of this.#options.outputs.values()) output.close();
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
      const read = this.#running.input.describePosition();
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
    });
  }

  /** Tells the leader that a machine or handler threw. The machine that would do so is gone. */
  #crash(error: unknown): void {
    this.#options.logger.error({ subtask: this.name, error: describeError(error) }, "subtask crashed");
    this.#restored?.running?.stop();
    void this.#options.send({
      type: "subtask.failed",
      generation: this.#options.deployment.generation,
      subtask: this.name,
      reason: describeError(error),
      retry: retryOf(error) === "never" ? "never" : "restart",
    });
  }

  /* ------------------------------------------------------------------ effects of the subtask machine */

  /** The running subtask. The machine names nothing that needs it before `state.restored`, or while it only settles. */
  get #running(): RunningSubtask {
    const running = this.#restored?.running;
    invariant(running !== undefined, `subtask ${this.name} does not run`);
    return running;
  }

  #handlers(): EffectHandlers<"subtask"> {
    const { send } = this.#options;
    return {
      "restore.state": (_, answer) => void this.#restore(answer),
      "send.restored": (params) => void send(eventOf("subtask.restored", params)),
      "run.input": ({ finished }) => this.#running.start(finished),
      "inject.barrier": (barrier, answer) =>
        this.#running.atBorder(() => answer({ type: "barrier.aligned", ...barrier })),
      "hold.source": () => this.#running.hold(),
      "resume.source": () => this.#running.release(),
      "drain.source": () => this.#running.input.drain(),
      "cut.transactions": ({ checkpointId }, answer) => {
        const transactions = this.#running.cutTransactions(checkpointId);
        answer({ type: "transactions.cut", checkpointId, transactions });
      },
      "emit.barrier": (barrier) => this.#running.emitBarrier(barrier),
      "emit.cancelMarker": ({ checkpointId }) => this.#running.emitCancelMarker(checkpointId),
      "take.snapshot": ({ checkpointId }) => this.#running.takeSnapshot(checkpointId),
      "cancel.snapshot": ({ checkpointId }) => this.#running.cancelSnapshot(checkpointId),
      "discard.snapshot": (message) =>
        void this.#running
          .discardSnapshot(message.checkpointId)
          .then((objects) => send({ type: "subtask.discarded", ...message, objects })),
      "send.acknowledgement": ({ checkpointId, finished, generation, subtask }) => {
        const snapshot = this.#running.acknowledge(checkpointId, finished);
        void send({ type: "subtask.acknowledged", generation, checkpointId, subtask, snapshot });
      },
      "send.decline": (params) =>
        void send({ ...eventOf("subtask.declined", params), detail: params.detail }),
      "send.committed": (params) => void send(eventOf("subtask.committed", params)),
      "report.progress": ({ checkpointId }) => this.#running.input.confirm(checkpointId),
      "run.finish": (_, answer) => this.#running.finish(() => answer({ type: "finish.completed" })),
      "send.ended": (params) => void send(eventOf("subtask.ended", params)),
      "send.failure": (params) => {
        this.#restored?.running?.stop();
        void send(eventOf("subtask.failed", params));
      },
      "close.operators": () => void this.#closeOperators(),
    };
  }

  async #restore(answer: (event: AnswerOf<Roles["subtask"], "restore.state">) => void): Promise<void> {
    try {
      const restored = await restoreSubtask(this.#options, {
        host: this.#host,
        parts: this.#parts,
        environmentOf: (operator) => this.#environment(operator),
        fail: (error) => this.fail(error),
      });
      this.#restored = restored;
      answer({ type: "state.restored", transactions: restored.sinks.restored });
    } catch (error) {
      if (!this.#options.signal.aborted) this.fail(error);
    }
  }
}
