/**
 * A PostgreSQL database as the target of one sink subtask.
 *
 * Owns: the transaction in which a marker is replaced and rows are written, and its session.
 * Does not own: what a marker means (transactions/target-marker.ts), the rows' statements (statements.ts).
 *
 * - XD1 A transaction runs on one session from BEGIN to COMMIT, and a session on which anything failed is not used
 *   again.
 * - XD2 Its first statement is the conditional UPDATE of the marker, which waits for a transaction that holds the row and
 *   then looks at what that one has left. Nothing is decided by a read before it (P8).
 * - XD3 COMMIT has committed only when its tag says so: of a failed transaction it succeeds, as ROLLBACK.
 * - XD4 Settings are those of the transaction (SET LOCAL): behind a pooler a session is shared with others.
 * - XD5 A session of an older generation, or one of this subtask's own that was lost, may hold the marker for as long as
 *   its process is stopped. It is ended, by the name that its transactions carry.
 */
import { createHash } from "node:crypto";
import type { SinkEnvironment } from "../../dataflow/sink.ts";
import { TargetUnavailableError } from "../../errors.ts";
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import type { MarkerKey, StagedTransaction, TransactionTarget } from "../transactions/target.ts";
import { markersMissing, type PostgresTable } from "./catalogue.ts";
import { codeOf, commitError, LOCK_NOT_AVAILABLE, UNDEFINED_TABLE } from "./errors.ts";
import { literal } from "./identifiers.ts";
import { MarkerTable } from "./marker-table.ts";
import type { PostgresSession } from "./session.ts";
import { RowStatements } from "./statements.ts";

export const sessionTimes = { lockTimeoutMs: 5_000, idleTimeoutMs: 30_000 };

export class PostgresTarget implements TransactionTarget<Uint8Array> {
  readonly #open: () => Promise<PostgresSession>;
  readonly #environment: SinkEnvironment;
  readonly #markers: MarkerTable;
  readonly #rows: RowStatements;
  readonly #place: string;
  readonly #schema: string;
  readonly #begin: string;
  #session: PostgresSession | undefined;

  /** @param session the first one; `open` gives others when it is lost */
  constructor(
    session: PostgresSession,
    open: () => Promise<PostgresSession>,
    table: PostgresTable,
    environment: SinkEnvironment,
  ) {
    this.#session = session;
    this.#open = open;
    this.#environment = environment;
    this.#markers = new MarkerTable(table.schema);
    this.#rows = new RowStatements(table);
    this.#place = `table ${table.name}`;
    this.#schema = table.schema;
    const { incarnation, operator, subtaskIndex, generation } = environment;
    this.#begin = [
      "BEGIN",
      `SET LOCAL application_name = ${literal(`${sessionName(incarnation, operator, subtaskIndex)} ${generation}`)}`,
      `SET LOCAL lock_timeout = ${sessionTimes.lockTimeoutMs}`,
      `SET LOCAL idle_in_transaction_session_timeout = ${sessionTimes.idleTimeoutMs}`,
      "SET LOCAL statement_timeout = 0",
      "SET LOCAL TimeZone = 'UTC'",
      "SET LOCAL DateStyle = 'ISO'",
    ].join("; ");
  }

  async readMarker(key: MarkerKey): Promise<TransactionMarker | undefined> {
    return this.#using("reading its marker", async (session) => {
      try {
        return await this.#markers.read(session, key);
      } catch (error) {
        if (codeOf(error) === UNDEFINED_TABLE) return undefined;
        throw error;
      }
    });
  }

  async replaceMarker(
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
    transaction: StagedTransaction<Uint8Array> | undefined,
  ): Promise<boolean> {
    const { operator } = this.#environment;
    const act =
      transaction === undefined
        ? `taking over the marker of writer ${key.writer} of sink ${operator}`
        : `committing transaction ${transaction.checkpointId} of writer ${key.writer} of sink ${operator}`;
    return this.#using(act, async (session) => {
      await session.query(this.#begin);
      if (!(await this.#moved(session, key, expected, next))) {
        await session.query("ROLLBACK");
        return false;
      }
      if (transaction !== undefined) await this.#rows.write(session, transaction);
      const { command } = await session.query("COMMIT");
      if (command !== "COMMIT")
        throw new TargetUnavailableError(`${this.#place}: the server answered COMMIT with ${command}`);
      return true;
    });
  }

  async close(): Promise<void> {
    this.#session?.destroy();
    this.#session = undefined;
  }

  async #moved(
    session: PostgresSession,
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
  ): Promise<boolean> {
    try {
      return await this.#markers.replace(session, key, expected, next);
    } catch (error) {
      if (codeOf(error) === UNDEFINED_TABLE) {
        if (expected === undefined) throw markersMissing(this.#schema);
        return false; // Then the marker is missed where it is read.
      }
      const isOwn = key.incarnation === this.#environment.incarnation;
      if (codeOf(error) === LOCK_NOT_AVAILABLE && isOwn) {
        await session.query("ROLLBACK");
        await this.#evict(session, key);
      }
      throw error;
    }
  }

  /** Ends sessions that hold the marker of `key` for a process that was replaced or has lost them (XD5). */
  async #evict(session: PostgresSession, { incarnation, operator, writer }: MarkerKey): Promise<void> {
    const { logger, generation } = this.#environment;
    const name = sessionName(incarnation, operator, writer);
    const { rows } = await session.query(
      "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() " +
        "AND application_name LIKE $1 AND split_part(application_name, ' ', 4)::bigint <= $2",
      [`${name} %`, generation],
    );
    const pids = rows.map(({ pid }) => pid);
    logger.warn(
      { pids },
      pids.length === 0
        ? `${this.#place}: another session holds the marker of writer ${writer} of sink ${operator}`
        : `${this.#place}: ended ${pids.length} sessions of processes that were replaced and held the marker of writer ${writer} of sink ${operator}`,
    );
  }

  /** @throws what `commitError` makes of it */
  async #using<R>(act: string, work: (session: PostgresSession) => Promise<R>): Promise<R> {
    let session = this.#session;
    this.#session = undefined;
    try {
      session ??= await this.#open();
      const result = await work(session);
      this.#session = session;
      return result;
    } catch (error) {
      session?.destroy();
      throw commitError(error, this.#place, act);
    }
  }
}

/** Short: the server cuts names of applications at 63 bytes. */
function sessionName(incarnation: string, operator: string, writer: number): string {
  const life = createHash("sha256").update(`${incarnation}/${operator}`).digest("hex").slice(0, 16);
  return `tidemark ${life} ${writer}`;
}
