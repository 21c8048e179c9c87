/**
 * A database as the target of one sink subtask.
 *
 * Owns: the transaction in which a marker is replaced and rows are written, and its session.
 * Does not own: what a marker means (transactions/target-marker.ts), the statements, which are each server's.
 *
 * - XD1 A transaction runs on one session from its beginning to its commit, and a session on which anything failed is
 *   not used again.
 * - XD2 Its first statement is the conditional UPDATE of the marker, which waits for a transaction that holds the row
 *   and then looks at what that one has left. Nothing is decided by a read before it (P8).
 * - XD3 A session of an older generation, or one of this subtask's own that was lost, may hold the marker for as long
 *   as its process is stopped. It is found by the name that it carries, and ended.
 */
import type { SinkEnvironment } from "../../dataflow/sink.ts";
import type { TidemarkError } from "../../errors.ts";
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import type { MarkerKey, StagedTransaction, TransactionTarget } from "../transactions/target.ts";

export interface SqlSession {
  /** Ends the connection at once, whatever it is doing. */
  destroy(): void;
}

/** What each kind of server says and understands. */
export interface SqlDialect<S extends SqlSession> {
  /** Of the rows, in words: "table public.orders". */
  readonly place: string;
  open(): Promise<S>;
  begin(session: S): Promise<void>;
  /** @throws also when the server answers that it has rolled the transaction back */
  commit(session: S): Promise<void>;
  rollback(session: S): Promise<void>;
  /** undefined: it is not there, or its table is not. */
  readMarker(session: S, key: MarkerKey): Promise<TransactionMarker | undefined>;
  /** In the open transaction. false: the marker is another one, or is not there. */
  replaceMarker(
    session: S,
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
  ): Promise<boolean>;
  /** In the open transaction. */
  writeRows(session: S, transaction: StagedTransaction<Uint8Array>): Promise<void>;
  /** Whether a statement was given up because another transaction holds the row. */
  isLockRefusal(error: unknown): boolean;
  /** Ends sessions that hold the marker for a process that was replaced or has lost them. Answers how many. */
  evict(session: S, key: MarkerKey): Promise<number>;
  /** @param act "committing transaction 7 of writer 0 of sink orders" */
  errorOf(error: unknown, act: string): TidemarkError;
}

export class SqlTarget<S extends SqlSession> implements TransactionTarget<Uint8Array> {
  readonly #dialect: SqlDialect<S>;
  readonly #environment: SinkEnvironment;
  #session: S | undefined;

  /** @param session the first one; the dialect opens others when it is lost */
  constructor(dialect: SqlDialect<S>, session: S, environment: SinkEnvironment) {
    this.#dialect = dialect;
    this.#session = session;
    this.#environment = environment;
  }

  readMarker(key: MarkerKey): Promise<TransactionMarker | undefined> {
    return this.#using("reading its marker", (session) => this.#dialect.readMarker(session, key));
  }

  replaceMarker(
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
    transaction: StagedTransaction<Uint8Array> | undefined,
  ): Promise<boolean> {
    const dialect = this.#dialect;
    const whose = `writer ${key.writer} of sink ${this.#environment.operator}`;
    const act =
      transaction === undefined
        ? `taking over the marker of ${whose}`
        : `committing transaction ${transaction.checkpointId} of ${whose}`;
    return this.#using(act, async (session) => {
      await dialect.begin(session);
      if (!(await this.#replaced(session, key, expected, next))) {
        await dialect.rollback(session);
        return false;
      }
      if (transaction !== undefined) await dialect.writeRows(session, transaction);
      await dialect.commit(session);
      return true;
    });
  }

  async close(): Promise<void> {
    this.#session?.destroy();
    this.#session = undefined;
  }

  async #replaced(
    session: S,
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
  ): Promise<boolean> {
    const dialect = this.#dialect;
    try {
      return await dialect.replaceMarker(session, key, expected, next);
    } catch (error) {
      // The marker of another job is held by a process that may be in its right.
      const { incarnation, operator, logger } = this.#environment;
      if (!dialect.isLockRefusal(error) || key.incarnation !== incarnation) throw error;
      await dialect.rollback(session);
      const ended = await dialect.evict(session, key);
      const held = `the marker of writer ${key.writer} of sink ${operator}`;
      logger.warn(
        { sessions: ended },
        ended === 0
          ? `${dialect.place}: another session holds ${held}`
          : `${dialect.place}: ended ${ended} sessions of processes that were replaced and held ${held}`,
      );
      throw error;
    }
  }

  /** @throws what `errorOf` makes of it */
  async #using<R>(act: string, work: (session: S) => Promise<R>): Promise<R> {
    let session = this.#session;
    this.#session = undefined;
    try {
      session ??= await this.#dialect.open();
      const result = await work(session);
      this.#session = session;
      return result;
    } catch (error) {
      session?.destroy();
      throw this.#dialect.errorOf(error, act);
    }
  }
}
