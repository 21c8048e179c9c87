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
 * - XD4 Where records that are refused have a table of their own, a transaction that was refused is written again row
 *   by row, as far as is needed to find them. Rows, refused ones and the marker are one transaction all the same.
 */
import type { SinkEnvironment } from "../../dataflow/sink.ts";
import type { TidemarkError } from "../../errors.ts";
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import type { MarkerKey, StagedTransaction, TransactionTarget } from "../transactions/target.ts";

export interface SqlSession {
  query(statement: string): Promise<unknown>;
  /** Ends the connection at once, whatever it is doing. */
  destroy(): void;
}

/** What each kind of server says and understands. */
export interface SqlDialect<S extends SqlSession> {
  /** Table of the rows, in words: "table public.orders". */
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
  /** undefined: a record that is refused stops the job. */
  readonly deadLetters: DeadLetters<S> | undefined;
  /** Whether a statement was given up because another transaction holds the row. */
  isLockRefusal(error: unknown): boolean;
  /** Ends sessions that hold the marker for a process that was replaced or has lost them. Answers how many. */
  evict(session: S, key: MarkerKey): Promise<number>;
  /** @param act "committing transaction 7 of writer 0 of sink orders" */
  errorOf(error: unknown, act: string): TidemarkError;
}

/** How the records that a table refuses get into another one. */
export interface DeadLetters<S extends SqlSession> {
  isRecordRefusal(error: unknown): boolean;
  /** The rows of a batch, each as it could be a batch. */
  rowsOf(batch: Uint8Array): Uint8Array[];
  /** In the open transaction. */
  bury(session: S, letter: DeadLetter): Promise<void>;
}

/** Does the work within a savepoint: where it fails, the open transaction is as it was before. */
async function withinSavepoint(session: SqlSession, work: () => Promise<void>): Promise<void> {
  await session.query("SAVEPOINT tidemark_rows");
  try {
    await work();
  } catch (error) {
    await session.query("ROLLBACK TO SAVEPOINT tidemark_rows");
    throw error;
  }
  await session.query("RELEASE SAVEPOINT tidemark_rows");
}

export interface DeadLetter {
  readonly key: MarkerKey;
  readonly checkpointId: number;
  readonly row: Uint8Array;
  readonly error: unknown;
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
    const step = (write: (session: S) => Promise<void>) => async (session: S) => {
      await dialect.begin(session);
      if (!(await this.#replaced(session, key, expected, next))) {
        await dialect.rollback(session);
        return false;
      }
      await write(session);
      await dialect.commit(session);
      return true;
    };
    if (transaction === undefined)
      return this.#using(
        act,
        step(async () => {}),
      );
    const write = step((session) => dialect.writeRows(session, transaction));
    const { deadLetters } = dialect;
    if (deadLetters === undefined) return this.#using(act, write);
    const around = step((session) => this.#writeAround(session, key, transaction, deadLetters));
    return this.#using(act, write, { instead: around, when: (error) => deadLetters.isRecordRefusal(error) });
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

  /** Writes what the table takes, and buries the rest (XD4). */
  async #writeAround(
    session: S,
    key: MarkerKey,
    transaction: StagedTransaction<Uint8Array>,
    deadLetters: DeadLetters<S>,
  ): Promise<void> {
    const { checkpointId } = transaction;
    let buried = 0;
    const writeSome = async (rows: readonly Uint8Array[]): Promise<void> => {
      async function* batches() {
        yield Buffer.concat(rows);
      }
      const some: StagedTransaction<Uint8Array> = { checkpointId, records: rows.length, batches };
      try {
        await withinSavepoint(session, () => this.#dialect.writeRows(session, some));
      } catch (error) {
        if (!deadLetters.isRecordRefusal(error)) throw error;
        if (rows.length > 1) {
          const middle = rows.length >> 1;
          await writeSome(rows.slice(0, middle));
          await writeSome(rows.slice(middle));
          return;
        }
        buried += 1;
        await deadLetters.bury(session, { key, checkpointId, row: rows[0]!, error });
      }
    };
    for await (const batch of transaction.batches()) await writeSome(deadLetters.rowsOf(batch));
    const { operator, logger } = this.#environment;
    logger.warn(
      { checkpointId, buried },
      `${this.#dialect.place} refused ${buried} of ${transaction.records} records of transaction ${checkpointId} of sink ${operator}: they are dead letters`,
    );
  }

  /** @throws what `errorOf` makes of it */
  async #using<R>(
    act: string,
    work: (session: S) => Promise<R>,
    otherwise?: { readonly instead: (session: S) => Promise<R>; readonly when: (error: unknown) => boolean },
  ): Promise<R> {
    let session = this.#session;
    this.#session = undefined;
    try {
      session ??= await this.#dialect.open();
      const result = await work(session);
      this.#session = session;
      return result;
    } catch (error) {
      session?.destroy();
      if (otherwise?.when(error)) return this.#using(act, otherwise.instead);
      throw this.#dialect.errorOf(error, act);
    }
  }
}
