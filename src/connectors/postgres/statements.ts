/**
 * How the rows of a transaction get into their table, inside the transaction that is open.
 *
 * - XP1 Appended rows go by COPY as they were staged. Rows with a key go as arrays, sorted (XK2), as many in a
 *   statement as `rowsPerStatement`.
 * - XP2 A transaction whose rows would take more memory than `keyedBytesMax`, or whose keys can be spelled in several
 *   ways, goes through a temporary table: the server finds the last row of each key there.
 */
import { collectedRows, framedRows, type KeyedRow, rowsIn } from "../sql/keyed-rows.ts";
import type { StagedTransaction } from "../transactions/target.ts";
import type { PostgresTable } from "./catalogue.ts";
import { fieldsOf } from "./copy-text.ts";
import { quoted } from "./identifiers.ts";
import type { PostgresSession } from "./session.ts";

export const rowLimits = { rowsPerStatement: 10_000, keyedBytesMax: 16 * 1024 * 1024 };

/** Columns of the temporary table beside the row's own. No name of a user's has a space at its end by accident. */
const ORDER = quoted("tidemark order ");
const DELETION = quoted("tidemark deletion ");
const LINE_BREAK = 10;
const TEMPORARY = quoted("tidemark_rows");

export class RowStatements {
  readonly #table: PostgresTable;
  readonly #names: readonly string[];
  readonly #keys: readonly string[];
  readonly #onConflict: string;
  readonly #isExact: boolean;

  constructor(table: PostgresTable) {
    this.#table = table;
    this.#names = table.columns.map(({ name }) => quoted(name));
    this.#keys = this.#names.slice(0, table.keyColumns);
    this.#isExact = table.columns.slice(0, table.keyColumns).every(({ isExact }) => isExact);
    const others = this.#names.slice(table.keyColumns);
    const action =
      others.length === 0
        ? "NOTHING"
        : `UPDATE SET ${others.map((name) => `${name} = EXCLUDED.${name}`).join(", ")}`;
    this.#onConflict = `ON CONFLICT (${this.#keys.join(", ")}) DO ${action}`;
  }

  async write(session: PostgresSession, transaction: StagedTransaction<Uint8Array>): Promise<void> {
    const { name, keyColumns } = this.#table;
    if (keyColumns === 0)
      return session.copy(`COPY ${name} (${this.#names.join(", ")}) FROM STDIN`, transaction.batches());
    const rows = this.#isExact ? await collectedRows(transaction, rowLimits.keyedBytesMax) : undefined;
    if (rows === undefined) return this.#writeLarge(session, transaction);
    const upserts = rows.filter(({ isDeletion }) => !isDeletion);
    const deletions = rows.filter(({ isDeletion }) => isDeletion);
    await this.#inStatements(session, deletions, this.#keys.length, this.#deleteFrom("source", "source"));
    const insert = `INSERT INTO ${name} (${this.#names.join(", ")}) SELECT * FROM source ${this.#onConflict}`;
    await this.#inStatements(session, upserts, this.#names.length, insert);
  }

  /** The rows of a batch, each as it could be a batch. */
  rowsOf(batch: Uint8Array): Uint8Array[] {
    return this.#keys.length > 0 ? framedRows(batch) : linesOf(batch);
  }

  /** @param statement over `source`, whose columns are the first `columns` of the table's */
  async #inStatements(
    session: PostgresSession,
    rows: readonly KeyedRow[],
    columns: number,
    statement: string,
  ): Promise<void> {
    const taken = this.#table.columns.slice(0, columns);
    // Everything as text, which the server casts: an array of arrays would be flattened by unnest.
    const casts = taken.map(({ sqlType }, i) => `${quoted(`c${i}`)}::${sqlType} AS ${this.#names[i]}`);
    const arrays = taken.map((_, i) => `$${i + 1}::text[]`);
    const source =
      `WITH source AS (SELECT ${casts.join(", ")} FROM unnest(${arrays.join(", ")}) ` +
      `AS given(${taken.map((_, i) => quoted(`c${i}`)).join(", ")}))`;
    for (let at = 0; at < rows.length; at += rowLimits.rowsPerStatement) {
      const some = rows.slice(at, at + rowLimits.rowsPerStatement);
      await session.query(`${source} ${statement}`, arraysOf(some, columns));
    }
  }

  /** @param source what follows FROM, with its name */
  #deleteFrom(source: string, name: string): string {
    const isSame = this.#keys.map((key) => `target.${key} = ${name}.${key}`).join(" AND ");
    return `DELETE FROM ${this.#table.name} AS target USING ${source} WHERE ${isSame}`;
  }

  async #writeLarge(session: PostgresSession, transaction: StagedTransaction<Uint8Array>): Promise<void> {
    const { name, hasDeletions } = this.#table;
    const names = this.#names.join(", ");
    await session.query(`DROP TABLE IF EXISTS pg_temp.${TEMPORARY}`);
    await session.query(
      `CREATE TEMPORARY TABLE ${TEMPORARY} ON COMMIT DROP AS SELECT 0::bigint AS ${ORDER}, false AS ${DELETION}, ` +
        `${names} FROM ${name} WITH NO DATA`,
    );
    await session.copy(
      `COPY pg_temp.${TEMPORARY} (${ORDER}, ${DELETION}, ${names}) FROM STDIN`,
      numbered(transaction, this.#names.length - this.#keys.length),
    );
    const keys = this.#keys.join(", ");
    const lastRows = `(SELECT DISTINCT ON (${keys}) * FROM pg_temp.${TEMPORARY} ORDER BY ${keys}, ${ORDER} DESC) AS last_rows`;
    if (hasDeletions)
      await session.query(`${this.#deleteFrom(lastRows, "last_rows")} AND last_rows.${DELETION}`);
    const order = this.#keys.map((key) => `${key}::text COLLATE "C"`).join(", ");
    await session.query(
      `INSERT INTO ${name} (${names}) SELECT ${names} FROM ${lastRows} WHERE NOT ${DELETION} ORDER BY ${order} ` +
        this.#onConflict,
    );
  }
}

/** Each with its line break. */
function linesOf(batch: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let at = 0; at < batch.length; ) {
    const end = batch.indexOf(LINE_BREAK, at) + 1;
    lines.push(batch.subarray(at, end));
    at = end;
  }
  return lines;
}

/** One array for each column, in the server's own words. */
function arraysOf(rows: readonly KeyedRow[], columns: number): string[] {
  const arrays: string[] = Array(columns).fill("{");
  let separator = "";
  for (const { text } of rows) {
    const fields = fieldsOf(text);
    for (let i = 0; i < columns; i += 1) arrays[i] += separator + elementOf(fields[i]!);
    separator = ",";
  }
  return arrays.map((elements) => `${elements}}`);
}

const QUOTED = /[\\"]/;

function elementOf(field: string | null): string {
  if (field === null) return "NULL";
  return QUOTED.test(field) ? `"${field.replace(/[\\"]/g, "\\$&")}"` : `"${field}"`;
}

/** Lines of COPY for the temporary table. @param others columns that are not of the key, which deletions do not have */
async function* numbered(transaction: StagedTransaction<Uint8Array>, others: number): AsyncGenerator<Buffer> {
  let order = 0;
  const nothing = "\t\\N".repeat(others);
  for await (const batch of transaction.batches()) {
    const lines: string[] = [];
    for (const { isDeletion, text } of rowsIn(batch)) {
      lines.push(`${order}\t${isDeletion ? "t" : "f"}\t${text}${isDeletion ? nothing : ""}\n`);
      order += 1;
    }
    yield Buffer.from(lines.join(""));
  }
}
