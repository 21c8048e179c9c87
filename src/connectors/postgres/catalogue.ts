/**
 * What the catalogue of a PostgreSQL server says of the table that a sink writes to, and whether the sink can use it.
 *
 * Everything that a commit would stumble over and that can be known before the first record is refused here (P24).
 */
import { EnvironmentError, PrerequisiteError } from "../../errors.ts";
import type { RowMapping } from "../sql/row-mapping.ts";
import { type DescribedTable, MARKER_TABLE, noColumn } from "../sql/sink.ts";
import { EXACT, type PostgresColumn, shownType } from "./copy-text.ts";
import { qualified, quoted } from "./identifiers.ts";
import { markerTableDdl } from "./marker-table.ts";
import type { PostgresSession } from "./session.ts";

interface CatalogueColumn extends PostgresColumn {
  /** As a cast spells it: "integer", "shop.colour". */
  readonly sqlType: string;
  /** Two values are the same exactly if they are spelled alike. */
  readonly isExact: boolean;
}

/** The table, and the columns that are written, in the order of the mapping. */
export interface PostgresTable extends DescribedTable {
  readonly schema: string;
  readonly table: string;
  /** Quoted, for statements. */
  readonly name: string;
  readonly columns: readonly CatalogueColumn[];
  readonly keyColumns: number;
  readonly hasDeletions: boolean;
  /** Quoted; undefined: none is wanted. */
  readonly deadLetters: string | undefined;
}

type Row = Readonly<Record<string, string | null>>;

const COLUMNS = `
SELECT n.nspname AS schema, c.relname AS "table", c.relkind AS kind, a.attname AS name,
  COALESCE(base.typname, t.typname) AS type, format_type(a.atttypid, NULL) AS sql_type,
  CASE WHEN COALESCE(base.typname, t.typname) IN ('varchar', 'bpchar', '_varchar', '_bpchar')
    AND COALESCE(NULLIF(t.typtypmod, -1), a.atttypmod) > 4 THEN COALESCE(NULLIF(t.typtypmod, -1), a.atttypmod) - 4 END AS length,
  a.attnotnull OR t.typnotnull AS is_required, a.atthasdef OR a.attidentity <> '' AS has_default,
  a.attgenerated <> '' OR a.attidentity = 'a' AS is_generated,
  COALESCE(co.collisdeterministic, true) AS is_deterministic
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation co ON co.oid = a.attcollation
LEFT JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type base ON base.oid = t.typbasetype
WHERE c.oid = to_regclass($1) ORDER BY a.attnum`;

/** One row for each column of each unique index over whole rows. */
const UNIQUE_INDEXES = `
SELECT i.indexrelid AS index, a.attname AS name
FROM pg_index i CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL`;

const RIGHTS = `
SELECT current_user AS "user", current_database() AS database,
  concat_ws(',', CASE WHEN NOT has_table_privilege(to_regclass($1), 'INSERT') THEN 'INSERT' END,
    CASE WHEN $3::boolean AND NOT has_table_privilege(to_regclass($1), 'UPDATE') THEN 'UPDATE' END,
    CASE WHEN $3::boolean AND NOT has_table_privilege(to_regclass($1), 'SELECT') THEN 'SELECT' END,
    CASE WHEN $4::boolean AND NOT has_table_privilege(to_regclass($1), 'DELETE') THEN 'DELETE' END) AS missing,
  $3::boolean AND NOT has_database_privilege(current_database(), 'TEMPORARY') AS lacks_temporary,
  CASE WHEN to_regclass($2) IS NULL THEN NULL ELSE concat_ws(',',
    CASE WHEN NOT has_table_privilege(to_regclass($2), 'SELECT') THEN 'SELECT' END,
    CASE WHEN NOT has_table_privilege(to_regclass($2), 'INSERT') THEN 'INSERT' END,
    CASE WHEN NOT has_table_privilege(to_regclass($2), 'UPDATE') THEN 'UPDATE' END) END AS marker_missing,
  current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS is_standby`;

/** @throws EnvironmentError that says what to mend */
export async function describeTable(
  session: PostgresSession,
  mapping: RowMapping<never>,
): Promise<PostgresTable> {
  const given =
    mapping.schema === undefined ? quoted(mapping.table) : qualified(mapping.schema, mapping.table);
  const { rows } = await session.query(COLUMNS, [given]);
  const [first] = rows;
  if (first === undefined)
    throw new PrerequisiteError(
      `there is no table ${given}: make it, or correct option table (names are taken letter by letter)`,
    );
  const { schema, table, kind } = first as Readonly<Record<string, string>>;
  const name = qualified(schema!, table!);
  if (kind !== "r" && kind !== "p")
    throw new EnvironmentError(
      `${name} is no table but ${KINDS[kind!] ?? "something else"}; the sink writes to tables`,
    );
  const columns = mapping.columns.map((column) => columnIn(rows, column.name, name));
  assertComplete(rows, columns, name);
  const { keyColumns, deletes } = mapping;
  const key = columns.slice(0, keyColumns);
  if (keyColumns > 0) await assertUnique(session, key, name);
  const marker = qualified(schema!, MARKER_TABLE);
  const rights = await session.query(RIGHTS, [name, marker, keyColumns > 0, deletes !== undefined]);
  const hasMarkers = assertRights(rights.rows[0]!, name, marker);
  const deadLetters = mapping.deadLetter === undefined ? undefined : qualified(schema!, mapping.deadLetter);
  return {
    schema: schema!,
    table: table!,
    name,
    place: `table ${schema}.${table}`,
    deadLetters,
    deadLettersWanted: deadLetters === undefined ? undefined : await deadLettersMissing(session, deadLetters),
    markerPlace: `table ${schema}.${MARKER_TABLE}`,
    columns,
    keyColumns,
    hasDeletions: deletes !== undefined,
    hasMarkers,
  };
}

/** The statement that makes the table; undefined: it is there. */
async function deadLettersMissing(session: PostgresSession, name: string): Promise<string | undefined> {
  const { rows } = await session.query("SELECT to_regclass($1) IS NOT NULL AS found", [name]);
  if (isTrue(rows[0]?.found)) return undefined;
  return (
    `CREATE TABLE ${name} (incarnation text NOT NULL, sink text NOT NULL, writer integer NOT NULL, checkpoint bigint NOT NULL, ` +
    "content text NOT NULL, reason text NOT NULL, refused_at timestamptz NOT NULL DEFAULT now())"
  );
}

const KINDS: Readonly<Record<string, string>> = {
  v: "a view",
  m: "a materialized view",
  f: "a foreign table",
  S: "a sequence",
  i: "an index",
  c: "a type",
};

function columnIn(rows: readonly Row[], name: string, table: string): CatalogueColumn {
  const found = rows.find((row) => row.name === name);
  if (found === undefined)
    throw noColumn(
      table,
      name,
      rows.map((row) => row.name ?? ""),
      quoted,
    );
  if (isTrue(found.is_generated))
    throw new EnvironmentError(
      `table ${table}: column ${quoted(name)} is generated by the server; take it out of option columns`,
    );
  return {
    name,
    type: found.type ?? "",
    sqlType: found.sql_type ?? "",
    length: found.length === null || found.length === undefined ? undefined : Number(found.length),
    isNullable: !isTrue(found.is_required),
    isExact: EXACT.has(found.type ?? "") && isTrue(found.is_deterministic),
  };
}

/** @throws EnvironmentError for a column that must have a value and gets none */
function assertComplete(rows: readonly Row[], columns: readonly CatalogueColumn[], table: string): void {
  const written = new Set(columns.map(({ name }) => name));
  const lacking = rows.filter(
    ({ name, is_required, has_default, is_generated }) =>
      isTrue(is_required) && !isTrue(has_default) && !isTrue(is_generated) && !written.has(name ?? ""),
  );
  if (lacking.length === 0) return;
  const names = lacking.map(({ name }) => quoted(name ?? "")).join(", ");
  throw new EnvironmentError(
    `table ${table}: ${names} must have a value and has no default; add what it gets to option columns`,
  );
}

async function assertUnique(
  session: PostgresSession,
  key: readonly CatalogueColumn[],
  table: string,
): Promise<void> {
  const indexes = new Map<string, string[]>();
  for (const { index, name } of (await session.query(UNIQUE_INDEXES, [table])).rows)
    indexes.set(index!, [...(indexes.get(index!) ?? []), name!]);
  const wanted = key.map(({ name }) => name).sort();
  const isThere = [...indexes.values()].some((names) => names.sort().join("\0") === wanted.join("\0"));
  const nullable = key.find(({ isNullable }) => isNullable);
  const columns = key.map(({ name }) => quoted(name)).join(", ");
  if (!isThere)
    throw new EnvironmentError(
      `table ${table} has no unique index on exactly the key's columns (${columns}), without a condition, so a row of a key ` +
        `could not be found again: CREATE UNIQUE INDEX ON ${table} (${columns})`,
    );
  if (nullable !== undefined)
    throw new EnvironmentError(
      `table ${table}: column ${quoted(nullable.name)} (${shownType(nullable)}) of the key may be null, and two nulls are two rows: ` +
        `ALTER TABLE ${table} ALTER COLUMN ${quoted(nullable.name)} SET NOT NULL`,
    );
}

/** Whether the table of markers is there. @throws EnvironmentError */
function assertRights(found: Row, table: string, marker: string): boolean {
  const { user, database, missing, marker_missing, encoding } = found;
  const who = quoted(user ?? "");
  if (isTrue(found.is_standby))
    throw new EnvironmentError(
      `database ${database}: the server is a standby, which takes no writes; name the primary`,
    );
  if (encoding !== "UTF8")
    throw new EnvironmentError(
      `database ${database} has the encoding ${encoding}, in which not every text can be stored; UTF8 is needed`,
    );
  if (missing !== "")
    throw new EnvironmentError(
      `user ${who} may not write to ${table}: GRANT ${missing} ON ${table} TO ${who}`,
    );
  if (isTrue(found.lacks_temporary))
    throw new EnvironmentError(
      `user ${who} may not make temporary tables, which large transactions with a key need: ` +
        `GRANT TEMPORARY ON DATABASE ${quoted(database ?? "")} TO ${who}`,
    );
  if (typeof marker_missing === "string" && marker_missing !== "")
    throw new EnvironmentError(
      `user ${who} may not use ${marker}: GRANT ${marker_missing} ON ${marker} TO ${who}`,
    );
  return typeof marker_missing === "string";
}

/** @throws EnvironmentError with the statement that makes the table of markers */
export function markersMissing(schema: string): PrerequisiteError {
  return new PrerequisiteError(
    `exactly-once output needs a table of its own, in which the sink notes what is committed: ${markerTableDdl(schema)}; or ` +
      "let the sink make it with provision: true",
  );
}

function isTrue(value: string | null | undefined): boolean {
  return value === "t";
}
