/**
 * How a record becomes a row: which column gets what, and which columns are the key.
 *
 * Owns: the options that all SQL sinks share. Does not own: types and quoting, which are each server's.
 */
import { show } from "../../config/quantity.ts";
import { ConfigurationError, RecordRefusedError } from "../../errors.ts";
import { describeValue, silence } from "../../state/described.ts";

/** What a column gets: the name of a field of the record, or a function of it. null is SQL's NULL. */
export type ColumnValue<T> = (keyof T & string) | ((record: T) => unknown);

/** The options of a table that all SQL sinks share. */
export interface TableOptions<T> {
  /** The table, as the catalogue spells it: "orders", or with its schema { schema: "shop", table: "orders" }. */
  readonly table: string | { readonly schema: string; readonly table: string };
  /** What each column gets, by its name as the catalogue spells it. Columns that are left out get their default. */
  readonly columns: Readonly<Record<string, ColumnValue<T>>>;
  /**
   * Columns that tell one row from another; the table needs a unique index on exactly these. Rows are then upserted:
   * the last record of a key wins. Default: every record is a row of its own.
   */
  readonly key?: readonly string[];
  /** With `key`: the record deletes the row of its key. Default: none does. */
  readonly deletes?: (record: T) => boolean;
  /**
   * What becomes of a record that the table refuses at the commit, by a constraint or a value that only the server
   * could judge: "fail" stops the job, which goes on there when the table was mended. `{ deadLetter: "name" }` writes
   * it, with the reason, into that table of the same schema, in the same transaction. Default "fail".
   */
  readonly refused?: "fail" | { readonly deadLetter: string };
}

export interface RowColumn<T> {
  readonly name: string;
  read(record: T): unknown;
}

/** The options as they are used. */
export interface RowMapping<T> {
  /** undefined: the first one of the connection's search path that has the table. */
  readonly schema: string | undefined;
  readonly table: string;
  /** Those of the key first, in its order. */
  readonly columns: readonly RowColumn<T>[];
  /** How many of them are the key; 0: rows are appended. */
  readonly keyColumns: number;
  readonly deletes: ((record: T) => boolean) | undefined;
  /** Name of the table for records that were refused; undefined: the job stops. */
  readonly deadLetter: string | undefined;
}

/** @param sink "postgresSink". @throws ConfigurationError */
export function rowMapping<T>(options: TableOptions<T>, sink: string): RowMapping<T> {
  const { columns, key = [], deletes } = options;
  const { schema, table } = tableName(options.table, sink);
  if (typeof columns !== "object" || columns === null || Object.keys(columns).length === 0)
    throw new ConfigurationError(
      "columns",
      `${sink}: columns must say what each column gets, such as { id: "orderId", total: (order) => order.total }, got ${show(columns)}`,
    );
  checkKey(key, columns, sink);
  if (deletes !== undefined && (typeof deletes !== "function" || key.length === 0))
    throw new ConfigurationError(
      "deletes",
      `${sink}: deletes must be a function of the record, beside a key that says which row goes`,
    );
  const others = Object.keys(columns).filter((name) => !key.includes(name));
  return {
    schema,
    table,
    columns: [...key, ...others].map((name) => columnOf(name, columns[name], sink)),
    keyColumns: key.length,
    deletes,
    deadLetter: deadLetterOf(options.refused, sink),
  };
}

function deadLetterOf(refused: unknown, sink: string): string | undefined {
  if (refused === undefined || refused === "fail") return undefined;
  const { deadLetter } = (refused ?? {}) as { readonly deadLetter?: unknown };
  if (isName(deadLetter)) return deadLetter;
  throw new ConfigurationError(
    "refused",
    `${sink}: refused must be "fail", or { deadLetter } with the name of a table, got ${show(refused)}`,
  );
}

function isName(name: unknown): name is string {
  return typeof name === "string" && name !== "" && !name.includes("\0") && name.isWellFormed();
}

function tableName(given: unknown, sink: string): { schema: string | undefined; table: string } {
  const { schema, table } = (
    typeof given === "string" ? { schema: undefined, table: given } : (given ?? {})
  ) as {
    readonly schema?: unknown;
    readonly table?: unknown;
  };
  if (isName(table) && (schema === undefined || isName(schema))) return { schema, table };
  throw new ConfigurationError(
    "table",
    `${sink}: table must be a name, or { schema, table } of two names, got ${show(given)}`,
  );
}

function checkKey(key: unknown, columns: object, sink: string): void {
  if (!Array.isArray(key))
    throw new ConfigurationError("key", `${sink}: key must be an array of columns, got ${show(key)}`);
  for (const [index, name] of key.entries()) {
    if (typeof name !== "string" || !Object.hasOwn(columns, name))
      throw new ConfigurationError(
        "key",
        `${sink}: key names ${show(name)}, which is none of the columns: ${Object.keys(columns).join(", ")}`,
      );
    if (key.indexOf(name) !== index)
      throw new ConfigurationError("key", `${sink}: key names column ${name} twice`);
  }
}

function columnOf<T>(name: string, value: ColumnValue<T> | undefined, sink: string): RowColumn<T> {
  if (typeof value === "function") return { name, read: value };
  if (typeof value === "string")
    return { name, read: (record) => (record as Readonly<Record<string, unknown>>)[value] };
  throw new ConfigurationError(
    "columns",
    `${sink}: column ${name} must get a field's name or a function of the record, got ${show(value)}`,
  );
}

/** A value does not fit its column. @param place of the table, in words */
export function refuseColumn(place: string, column: string, problem: string): never {
  throw new RecordRefusedError(`a record cannot become a row of ${place}: column ${column} ${problem}`);
}

/** Whether the record deletes its row. @throws RecordRefusedError for an answer that is neither true nor false */
export function isDeletion<T>(
  deletes: ((record: T) => boolean) | undefined,
  record: T,
  place: string,
): boolean {
  if (deletes === undefined) return false;
  const answer: unknown = deletes(record);
  if (answer === true || answer === false) return answer;
  silence(answer);
  throw new RecordRefusedError(
    `a record cannot become a row of ${place}: deletes answered ${describeValue(answer)}, and true or false is needed`,
  );
}
