/**
 * How the rows of a transaction get into their table, inside the transaction that is open.
 *
 * A row is staged as what stands between the parentheses of VALUES. Statements hold many, and end before they are as
 * large as the server takes them.
 *
 * - XK3 A transaction whose rows would take more memory than `keyedBytesMax`, or whose keys can be spelled in several
 *   ways ("A" is "a" by most collations), goes through a temporary table, in which a later row of a key replaces the
 *   one before it.
 */
import { collectedRows, type KeyedRow, rowsIn } from "../sql/keyed-rows.ts";
import type { StagedTransaction } from "../transactions/target.ts";
import type { MysqlTable } from "./catalogue.ts";
import { quoted } from "./literals.ts";
import type { MysqlSession } from "./session.ts";

export const rowLimits = { statementBytesMax: 1024 * 1024, keyedBytesMax: 16 * 1024 * 1024 };

const DELETION = quoted("tidemark deletion");
const TEMPORARY = quoted("tidemark_rows");

export class RowStatements {
  readonly #table: MysqlTable;
  readonly #names: readonly string[];
  readonly #keys: readonly string[];
  readonly #insert: string;
  readonly #onDuplicate: string;
  readonly #isExact: boolean;

  constructor(table: MysqlTable) {
    this.#table = table;
    this.#names = table.columns.map(({ name }) => quoted(name));
    this.#keys = this.#names.slice(0, table.keyColumns);
    this.#isExact = table.columns.slice(0, table.keyColumns).every(({ isExact }) => isExact);
    this.#insert = `INSERT INTO ${table.name} (${this.#names.join(", ")}) VALUES `;
    const others = this.#names.slice(table.keyColumns);
    // A row that is nothing but its key is found, and stays.
    const changed = others.length > 0 ? others : this.#keys;
    this.#onDuplicate =
      table.keyColumns === 0
        ? ""
        : ` ON DUPLICATE KEY UPDATE ${changed.map((name) => `${name} = VALUES(${name})`).join(", ")}`;
  }

  async write(session: MysqlSession, transaction: StagedTransaction<Uint8Array>): Promise<void> {
    if (this.#table.keyColumns === 0) {
      for await (const batch of transaction.batches())
        await this.#inserted(session, this.#insert, rowsIn(batch).map(tupleOf), "");
      return;
    }
    const rows = this.#isExact ? await collectedRows(transaction, rowLimits.keyedBytesMax) : undefined;
    if (rows === undefined) return this.#writeLarge(session, transaction);
    const deletions = rows.filter(({ isDeletion }) => isDeletion).map(({ key }) => this.#isRow(key));
    const upserts = rows.filter(({ isDeletion }) => !isDeletion).map(tupleOf);
    await this.#inStatements(session, `DELETE FROM ${this.#table.name} WHERE `, deletions, " OR ", "");
    await this.#inserted(session, this.#insert, upserts, this.#onDuplicate);
  }

  #inserted(session: MysqlSession, insert: string, tuples: readonly string[], end: string): Promise<void> {
    return this.#inStatements(session, insert, tuples, ",", end);
  }

  async #inStatements(
    session: MysqlSession,
    start: string,
    pieces: readonly string[],
    between: string,
    end: string,
  ): Promise<void> {
    const lengthMax = Math.min(rowLimits.statementBytesMax, this.#table.packetBytesMax / 4);
    for (let at = 0; at < pieces.length; ) {
      const first = at;
      let length = 0;
      // In characters, of which one takes at most 3 bytes a unit.
      for (; at < pieces.length && (at === first || length + pieces[at]!.length < lengthMax); at += 1)
        length += pieces[at]!.length + between.length;
      await session.query(start + pieces.slice(first, at).join(between) + end);
    }
  }

  /** A condition that finds the row of a key. Keys are staged as a list of literals. */
  #isRow(key: string): string {
    return `(${this.#keys.join(", ")}) = (${key})`;
  }

  async #writeLarge(session: MysqlSession, transaction: StagedTransaction<Uint8Array>): Promise<void> {
    const { name, hasDeletions } = this.#table;
    const names = this.#names.join(", ");
    const keys = this.#keys.join(", ");
    const others = this.#names.length - this.#keys.length;
    const dropped = `DROP TEMPORARY TABLE IF EXISTS ${TEMPORARY}`;
    await session.query(dropped);
    // Columns that are not of the key may be null in it, whatever they may be in the table: deletions have none.
    const nullable = this.#names.slice(this.#keys.length).map((one) => `NULLIF(${one}, NULL) AS ${one}`);
    await session.query(
      `CREATE TEMPORARY TABLE ${TEMPORARY} (PRIMARY KEY (${keys})) ENGINE=InnoDB AS SELECT ` +
        `${[...this.#keys, ...nullable, `0 AS ${DELETION}`].join(", ")} FROM ${name} LIMIT 0`,
    );
    const replace = `REPLACE INTO ${TEMPORARY} (${names}, ${DELETION}) VALUES `;
    for await (const batch of transaction.batches()) {
      const tuples = rowsIn(batch).map(
        ({ isDeletion, text }) =>
          `(${text}${isDeletion ? ",NULL".repeat(others) : ""},${isDeletion ? 1 : 0})`,
      );
      await this.#inserted(session, replace, tuples, "");
    }
    if (hasDeletions) {
      const isSame = this.#keys.map((key) => `target.${key} = given.${key}`).join(" AND ");
      await session.query(
        `DELETE target FROM ${name} AS target JOIN ${TEMPORARY} AS given ON ${isSame} WHERE given.${DELETION} = 1`,
      );
    }
    await session.query(
      `INSERT INTO ${name} (${names}) SELECT ${names} FROM ${TEMPORARY} WHERE ${DELETION} = 0 ORDER BY ${keys}${this.#onDuplicate}`,
    );
    await session.query(dropped);
  }
}

function tupleOf({ text }: KeyedRow): string {
  return `(${text})`;
}
