/**
 * The sinks of one subtask: opens their writers, cuts and commits their transactions.
 *
 * Owns: one actor per transaction, the committables that the next acknowledgement must list. Does not own:
 * when to cut and whose turn it is to commit (machines/worker/subtask.ts).
 */
import type { CommittableHandle, StateHandle, TransactionName } from "../../../../machines/protocol.ts";
import { eventOf } from "../../../../machines/wiring.ts";
import { sinkTransactionMachine } from "../../../../machines/worker/sink-transaction.ts";
import type { Clock } from "../../../clock.ts";
import type { ChainedOperator } from "../../../dataflow/graph.ts";
import { type OpenWriter, openWriter } from "../../../dataflow/guards/guarded-sink.ts";
import { memoriesOfOthers, memoryHandle, memoryIn } from "../../../dataflow/operators/sink.ts";
import type { InheritedFrom, PreparingTransaction, SinkEnvironment } from "../../../dataflow/sink.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { describeError, invariant, MarkerMovedError, retryOf } from "../../../errors.ts";
import type { SubtaskRestore } from "../../../job/restore/assignment.ts";
import type { ActorId, EffectHandlers, Host } from "../../actor.ts";
import type { OpenParts } from "../subtask/open-parts.ts";

/** A commit that has not ended by then is told of: nothing is wrong yet, but the job may be waiting for it. */
const SILENT_MS = 5000;

interface OpenSink {
  readonly operator: string;
  readonly writer: OpenWriter;
}

/** A transaction that the restored checkpoint names. */
export interface RestoredTransaction {
  readonly transaction: TransactionName;
  readonly checkpointId: number;
}

export interface SinkTransactionsOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly incarnation: string;
  readonly inherits: InheritedFrom | null;
  readonly fail: (error: unknown) => void;
  readonly subtaskIndex: number;
  readonly retryMs: number;
  readonly troubles: TroubleWatcher;
}

/** How the sinks of a subtask are opened. */
export interface OpeningSinks extends SinkTransactionsOptions {
  readonly operators: readonly ChainedOperator[];
  readonly restore: SubtaskRestore;
  readonly environmentOf: (operator: string, restoredState: unknown) => SinkEnvironment;
  /** The parts of the subtask that are to be closed; each writer becomes one. */
  readonly parts: OpenParts;
  /** Aborts when the generation is over: nothing more is opened then. */
  readonly signal: AbortSignal;
}

const nameOf = (operator: string, writer: number, checkpointId: number): TransactionName =>
  `${operator}/${writer}@${checkpointId}`;

/**
 * Opens every sink of a subtask, which fences older generations at the target (P23), and takes over what its checkpoint
 * has left.
 */
export async function openSinks(opening: OpeningSinks): Promise<SinkTransactions> {
  const { operators, restore, subtaskIndex, environmentOf, parts, signal } = opening;
  const sinks: OpenSink[] = [];
  for (const { operator } of operators) {
    const { sink } = operator.details;
    if (sink === undefined) continue;
    const environment = environmentOf(operator.id, memoryIn(restore.states, operator.id, subtaskIndex));
    const writer = parts.add(await openWriter(operator.id, sink, environment));
    sinks.push({ operator: operator.id, writer });
    signal.throwIfAborted();
  }
  return new SinkTransactions(
    opening,
    sinks,
    restore.transactions,
    memoriesOfOthers(restore.states, subtaskIndex),
  );
}

type Actor = ActorId<"transaction">;

export class SinkTransactions {
  /** The transactions that the restored checkpoint names, oldest first. */
  readonly restored: readonly RestoredTransaction[];
  readonly writers: readonly OpenWriter[];
  readonly #options: SinkTransactionsOptions;
  readonly #sinks: readonly OpenSink[];
  /** What each checkpoint gets as it was restored. */
  readonly #handedOn: readonly StateHandle[];
  /** The actor whose transaction is open, per sink. */
  readonly #open = new Map<string, Actor>();
  readonly #actors = new Map<TransactionName, Actor>();
  readonly #preparing = new Map<TransactionName, PreparingTransaction>();
  /** The transactions that are durable and not committed: an acknowledgement lists them (P13). */
  readonly #committables = new Map<TransactionName, CommittableHandle>();
  #count = 0;
  #closed = false;
  /** The watch over the commits of each sink, which are done one after the other. */
  readonly #committing = new Map<string, TroubleWatch>();

  constructor(
    options: SinkTransactionsOptions,
    sinks: readonly OpenSink[],
    restored: readonly CommittableHandle[],
    handedOn: readonly StateHandle[],
  ) {
    this.#options = options;
    this.#sinks = sinks;
    this.#handedOn = handedOn;
    this.writers = sinks.map((sink) => sink.writer);
    const taken = restored.map((committable) => {
      const transaction = nameOf(committable.sink, committable.writer, committable.checkpointId);
      this.#committables.set(transaction, committable);
      this.#actors.set(transaction, this.#startActor(committable.sink, transaction));
      return { transaction, checkpointId: committable.checkpointId };
    });
    for (const sink of sinks) this.#open.set(sink.operator, this.#startActor(sink.operator, null));
    this.restored = taken.sort((a, b) => a.checkpointId - b.checkpointId);
  }

  writer(operator: string): OpenWriter {
    const sink = this.#sinks.find((one) => one.operator === operator);
    invariant(sink !== undefined, `sink ${operator} is not open`);
    return sink.writer;
  }

  /** Cuts synchronously: everything written so far belongs to checkpoint `checkpointId` or an older one. */
  cut(checkpointId: number): readonly TransactionName[] {
    const names: TransactionName[] = [];
    for (const { operator, writer } of this.#sinks) {
      const preparing = writer.cut(checkpointId);
      if (preparing === undefined) continue;
      const transaction = nameOf(operator, this.#options.subtaskIndex, checkpointId);
      const actor = this.#open.get(operator);
      invariant(actor !== undefined, `sink ${operator} has no open transaction`);
      this.#preparing.set(transaction, preparing);
      this.#actors.set(transaction, actor);
      this.#open.set(operator, this.#startActor(operator, null));
      this.#options.host.send(actor, eventOf("barrier.reached", {}, { transaction }));
      names.push(transaction);
    }
    return names;
  }

  snapshot(): StateHandle[] {
    const { subtaskIndex } = this.#options;
    const own = this.#sinks.map(({ operator, writer }) =>
      memoryHandle(operator, subtaskIndex, writer.snapshot()),
    );
    return [...own, ...this.#handedOn];
  }

  /** Resolves when every writer has sent what was written to it, and keeps what a savepoint names. */
  async flush(isSavepoint: boolean): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.flush()));
    if (isSavepoint) await Promise.all(this.writers.map((writer) => writer.keep()));
  }

  /** The uncommitted, durable transactions up to this checkpoint. */
  committables(checkpointId: number): CommittableHandle[] {
    return [...this.#committables.values()].filter((one) => one.checkpointId <= checkpointId);
  }

  /** Which actors a `tell.transaction` reaches. */
  actorOf(transaction: TransactionName): readonly string[] {
    const actor = this.#actors.get(transaction);
    return actor === undefined ? [] : [actor];
  }

  /** The generation is over; the writers are closed as parts of the subtask. */
  end(): void {
    this.#closed = true;
    for (const watch of this.#committing.values()) watch.forget();
    for (const actor of this.#options.host.idsOf("transaction"))
      this.#options.host.send(actor, { type: "generation.ended" });
  }

  #startActor(operator: string, restored: TransactionName | null): Actor {
    const id: Actor = `transaction/${operator}/${this.#count++}`;
    this.#options.host.start({
      id,
      machine: sinkTransactionMachine,
      input: { restored, retryMs: this.#options.retryMs },
      handlers: this.#handlers(operator),
    });
    return id;
  }

  /** undefined: the job's own. */
  #inheritedFrom(incarnation: string): InheritedFrom | undefined {
    const { incarnation: own, inherits } = this.#options;
    if (incarnation === own) return undefined;
    return inherits?.incarnation === incarnation ? inherits : { incarnation, generation: null };
  }

  #handlers(operator: string): EffectHandlers<"transaction"> {
    const { troubles, clock } = this.#options;
    const committing = this.#committing.get(operator) ?? troubles.watch(`committing output of ${operator}`);
    this.#committing.set(operator, committing);
    return {
      "stage.transaction": ({ transaction }, answer) => {
        const preparing = this.#preparing.get(transaction);
        invariant(preparing !== undefined, `transaction ${transaction} was never cut`);
        preparing.prepared().then(
          (committable) => {
            this.#preparing.delete(transaction);
            const { incarnation } = this.#options;
            this.#committables.set(transaction, { ...committable, incarnation, sink: operator });
            answer({ type: "transaction.staged" });
          },
          (error: unknown) => answer({ type: "staging.failed", reason: describeError(error) }),
        );
      },
      "commit.transaction": ({ transaction }, answer) => {
        const committable = this.#committables.get(transaction);
        invariant(committable !== undefined, `transaction ${transaction} is not durable`);
        const { incarnation } = committable;
        const isSilent = () =>
          this.#closed || committing.failed(`its commit has not ended within ${SILENT_MS / 1000} s`);
        const answered = clock.after(SILENT_MS, isSilent, false);
        this.writer(operator)
          .commit(committable, this.#inheritedFrom(incarnation))
          .then(
            () => {
              answered.cancel();
              committing.passed();
              this.#committables.delete(transaction);
              this.#actors.delete(transaction);
              answer({ type: "transaction.committed" });
            },
            (error: unknown) => {
              answered.cancel();
              // Only a new deployment brings what the leader finds of the other job.
              if (error instanceof MarkerMovedError) this.#options.fail(error);
              const refused = retryOf(error) === "never";
              if (refused || this.#closed) committing.forget();
              else committing.failed(error);
              answer({ type: refused ? "commit.refused" : "commit.failed", reason: describeError(error) });
            },
          );
      },
      "abort.transaction": (_, answer) => answer({ type: "transaction.aborted" }),
    };
  }
}
