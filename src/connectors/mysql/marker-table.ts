/**
 * The table that holds the markers of all sinks which write to its database.
 *
 * One row for each writer. `checkpoint` is the transaction that was committed last, 0 before the first one.
 */
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import { MARKER_TABLE, markerOf } from "../sql/sink.ts";
import type { MarkerKey } from "../transactions/target.ts";
import { literalText, quoted } from "./literals.ts";
import type { MysqlSession } from "./session.ts";

/** What makes the table, for the user or for `provision`. */
export function markerTableDdl(database: string): string {
  return (
    `CREATE TABLE IF NOT EXISTS ${quoted(database)}.${quoted(MARKER_TABLE)} (incarnation varchar(128) NOT NULL, ` +
    "sink varchar(256) NOT NULL, writer int NOT NULL, job varchar(256) NOT NULL, generation bigint NOT NULL, " +
    "nonce varchar(128) NOT NULL, checkpoint bigint NOT NULL, PRIMARY KEY (incarnation, sink, writer)) " +
    "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
  );
}

export class MarkerTable {
  readonly #table: string;

  constructor(database: string) {
    this.#table = `${quoted(database)}.${quoted(MARKER_TABLE)}`;
  }

  async read(session: MysqlSession, key: MarkerKey): Promise<TransactionMarker | undefined> {
    const { rows } = await session.query(`SELECT * FROM ${this.#table} WHERE ${at(key)}`);
    return rows[0] && markerOf(rows[0]);
  }

  /** The markers of one job, of any life. */
  async ofJob(session: MysqlSession, job: string): Promise<TransactionMarker[]> {
    const { rows } = await session.query(`SELECT * FROM ${this.#table} WHERE job = ${literalText(job)}`);
    return rows.map(markerOf);
  }

  /** In the open transaction: false where the marker is another one. */
  async replace(
    session: MysqlSession,
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
  ): Promise<boolean> {
    const { incarnation, operator, writer } = key;
    const set =
      `job = ${literalText(next.job)}, generation = ${next.generation}, nonce = ${literalText(next.nonce)}, ` +
      `checkpoint = ${next.checkpointId}`;
    const statement =
      expected === undefined
        ? // Not INSERT IGNORE, which would turn other refusals into warnings: a row that is there is left as it is.
          `INSERT INTO ${this.#table} SET incarnation = ${literalText(incarnation)}, sink = ${literalText(operator)}, ` +
          `writer = ${writer}, ${set}`
        : `UPDATE ${this.#table} SET ${set} WHERE ${at(key)} AND generation = ${expected.generation} ` +
          `AND nonce = ${literalText(expected.nonce)} AND checkpoint = ${expected.checkpointId}`;
    return (await session.query(statement)).affectedRows === 1;
  }

  /** What a role without the needed rights is refused, in a transaction that changes nothing. */
  get probes(): readonly string[] {
    return [
      `SELECT * FROM ${this.#table} WHERE FALSE`,
      `UPDATE ${this.#table} SET checkpoint = 0 WHERE FALSE`,
      `INSERT INTO ${this.#table} SELECT * FROM ${this.#table} WHERE FALSE`,
    ];
  }
}

function at({ incarnation, operator, writer }: MarkerKey): string {
  return `incarnation = ${literalText(incarnation)} AND sink = ${literalText(operator)} AND writer = ${writer}`;
}
