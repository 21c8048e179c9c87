/**
 * The table that holds the markers of all sinks which write to its schema.
 *
 * One row for each writer. `checkpoint` is the transaction that was committed last, 0 before the first one.
 */
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import { MARKER_TABLE, markerOf } from "../sql/sink.ts";
import type { MarkerKey } from "../transactions/target.ts";
import { qualified } from "./identifiers.ts";
import type { PostgresSession } from "./session.ts";

/** What makes the table, for the user or for `provision`. */
export function markerTableDdl(schema: string): string {
  return (
    `CREATE TABLE IF NOT EXISTS ${qualified(schema, MARKER_TABLE)} (incarnation text, sink text, writer integer, ` +
    "job text NOT NULL, generation bigint NOT NULL, nonce text NOT NULL, checkpoint bigint NOT NULL, " +
    "PRIMARY KEY (incarnation, sink, writer))"
  );
}

const AT = "incarnation = $1 AND sink = $2 AND writer = $3";

export class MarkerTable {
  readonly #table: string;

  constructor(schema: string) {
    this.#table = qualified(schema, MARKER_TABLE);
  }

  async read(session: PostgresSession, key: MarkerKey): Promise<TransactionMarker | undefined> {
    const found = await session.query(`SELECT * FROM ${this.#table} WHERE ${AT}`, valuesOf(key));
    return found.rows[0] && markerOf(found.rows[0]);
  }

  /** The markers of one job, of any life. */
  async ofJob(session: PostgresSession, job: string): Promise<TransactionMarker[]> {
    const found = await session.query(`SELECT * FROM ${this.#table} WHERE job = $1`, [job]);
    return found.rows.map(markerOf);
  }

  /**
   * In the open transaction: false where the marker is another one. It waits for a transaction that holds the row, and
   * then looks at what that one has left.
   */
  async replace(
    session: PostgresSession,
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
  ): Promise<boolean> {
    const values = [...valuesOf(key), next.job, next.generation, next.nonce, next.checkpointId];
    if (expected === undefined) {
      const inserted = await session.query(
        `INSERT INTO ${this.#table} (incarnation, sink, writer, job, generation, nonce, checkpoint) ` +
          "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        values,
      );
      return inserted.rowCount === 1;
    }
    const moved = await session.query(
      `UPDATE ${this.#table} SET job = $4, generation = $5, nonce = $6, checkpoint = $7 WHERE ${AT} ` +
        "AND generation = $8 AND nonce = $9 AND checkpoint = $10",
      [...values, expected.generation, expected.nonce, expected.checkpointId],
    );
    return moved.rowCount === 1;
  }
}

function valuesOf({ incarnation, operator, writer }: MarkerKey): unknown[] {
  return [incarnation, operator, writer];
}
