/**
 * What a MySQL or MariaDB server says of the table that a sink writes to, and whether the sink can use it.
 *
 * Everything that a commit would stumble over and that can be known before the first record is refused here (P24).
 */
import { describeError, EnvironmentError, PrerequisiteError } from "../../errors.ts";
import type { RowMapping } from "../sql/row-mapping.ts";
import { type DescribedTable, MARKER_TABLE, noColumn } from "../sql/sink.ts";
import { isExact, isKnownCharset, type MysqlColumn } from "./column-literals.ts";
import { NO_SUCH_TABLE, numberOf } from "./errors.ts";
import { literalText, quoted } from "./literals.ts";
import { MarkerTable, markerTableDdl } from "./marker-table.ts";
import type { MysqlSession } from "./session.ts";

/** The table, and the columns that are written, in the order of the mapping. */
export interface MysqlTable extends DescribedTable {
  readonly database: string;
  /** Quoted, for statements. */
  readonly name: string;
  readonly columns: readonly MysqlColumn[];
  readonly keyColumns: number;
  readonly hasDeletions: boolean;
  /** Quoted; undefined: none is wanted. */
  readonly deadLetters: string | undefined;
  /** What a statement may hold, in bytes. */
  readonly packetBytesMax: number;
}

type Row = Readonly<Record<string, string | null>>;

/** @throws EnvironmentError that says what to mend */
export async function describeTable(session: MysqlSession, mapping: RowMapping<never>): Promise<MysqlTable> {
  const [server] = (
    await session.query("SELECT DATABASE() AS db, @@max_allowed_packet AS packet, VERSION() AS version")
  ).rows;
  const database = mapping.schema ?? server?.db;
  if (typeof database !== "string")
    throw new PrerequisiteError(
      "no database is named: put it into the connection's URL, or give option table as { schema, table }",
    );
  const [found] = (
    await session.query(
      "SELECT TABLE_NAME AS name, TABLE_TYPE AS type, ENGINE AS engine FROM information_schema.TABLES WHERE " +
        `TABLE_SCHEMA = ${literalText(database)} AND TABLE_NAME = ${literalText(mapping.table)}`,
    )
  ).rows;
  const place = `table ${database}.${mapping.table}`;
  if (found === undefined)
    throw new PrerequisiteError(
      `there is no ${place}: make it, or correct option table; or its user may not see it`,
    );
  if (found.type !== "BASE TABLE")
    throw new EnvironmentError(
      `${place} is no table but a ${(found.type ?? "").toLowerCase()}; the sink writes to tables`,
    );
  if (found.engine !== "InnoDB")
    throw new EnvironmentError(
      `${place} has the engine ${found.engine}, which keeps the rows of a transaction that is rolled back: ALTER TABLE ` +
        `${quoted(mapping.table)} ENGINE=InnoDB`,
    );
  const rows = await columnsOf(session, database, mapping.table);
  const isMariadb = /mariadb/i.test(server?.version ?? "");
  const json = isMariadb ? await jsonColumns(session, database, mapping.table) : new Set<string>();
  const columns = mapping.columns.map(({ name }) => columnIn(rows, name, json, place));
  assertComplete(rows, columns, place);
  const { keyColumns, deletes, table } = mapping;
  if (keyColumns > 0) await assertUnique(session, columns.slice(0, keyColumns), database, table);
  const { deadLetter } = mapping;
  const deadLetters = deadLetter === undefined ? undefined : `${quoted(database)}.${quoted(deadLetter)}`;
  const described: MysqlTable = {
    database,
    name: `${quoted(database)}.${quoted(table)}`,
    place,
    markerPlace: `table ${database}.${MARKER_TABLE}`,
    columns,
    keyColumns,
    hasDeletions: deletes !== undefined,
    hasMarkers: await hasTable(session, database, MARKER_TABLE),
    deadLetters,
    deadLettersWanted:
      deadLetter === undefined || (await hasTable(session, database, deadLetter))
        ? undefined
        : `CREATE TABLE ${deadLetters} (incarnation varchar(128) NOT NULL, sink varchar(256) NOT NULL, writer int NOT NULL, ` +
          "checkpoint bigint NOT NULL, content longtext NOT NULL, reason text NOT NULL, refused_at timestamp NOT NULL " +
          "DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4",
    packetBytesMax: Number(server?.packet ?? 0),
  };
  await assertRights(session, described);
  return described;
}

async function columnsOf(session: MysqlSession, database: string, table: string): Promise<readonly Row[]> {
  const { rows } = await session.query(
    "SELECT COLUMN_NAME AS name, DATA_TYPE AS type, COLUMN_TYPE AS full_type, IS_NULLABLE AS nullable, " +
      "COLUMN_DEFAULT AS default_value, EXTRA AS extra, CHARACTER_MAXIMUM_LENGTH AS characters, " +
      "CHARACTER_OCTET_LENGTH AS bytes, CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation, DATETIME_PRECISION AS digits " +
      `FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ${literalText(database)} AND TABLE_NAME = ` +
      `${literalText(table)} ORDER BY ORDINAL_POSITION`,
  );
  return rows;
}

/** MariaDB keeps JSON as long text with a check. */
async function jsonColumns(session: MysqlSession, database: string, table: string): Promise<Set<string>> {
  const { rows } = await session.query(
    "SELECT CHECK_CLAUSE AS clause FROM information_schema.CHECK_CONSTRAINTS WHERE " +
      `CONSTRAINT_SCHEMA = ${literalText(database)} AND TABLE_NAME = ${literalText(table)}`,
  );
  const names = rows.map(({ clause }) => /^json_valid\(`(.*)`\)$/.exec(clause ?? "")?.[1]);
  return new Set(names.filter((name) => name !== undefined).map((name) => name.replaceAll("``", "`")));
}

function isGenerated({ extra }: Row): boolean {
  return /(virtual|stored|persistent) generated|^(virtual|persistent|stored)$|generated always/i.test(
    extra ?? "",
  );
}

function columnIn(rows: readonly Row[], name: string, json: ReadonlySet<string>, place: string): MysqlColumn {
  const found = rows.find((row) => row.name === name);
  if (found === undefined)
    throw noColumn(
      place,
      name,
      rows.map((row) => row.name ?? ""),
      quoted,
    );
  if (isGenerated(found))
    throw new EnvironmentError(
      `${place}: column ${quoted(name)} is generated by the server; take it out of option columns`,
    );
  const { type, full_type, nullable, characters, bytes, charset, collation, digits } = found;
  if (typeof charset === "string" && !isKnownCharset(charset))
    throw new EnvironmentError(
      `${place}: column ${quoted(name)} has the character set ${charset}, and it is not known which texts it can hold; ` +
        "utf8mb4 can hold all: ALTER TABLE … MODIFY … CHARACTER SET utf8mb4",
    );
  return {
    name,
    type: json.has(name) ? "json" : (type ?? ""),
    fullType: json.has(name) ? "json" : (full_type ?? ""),
    isUnsigned: /unsigned/.test(full_type ?? ""),
    isNullable: nullable === "YES",
    charactersMax: numberIn(characters),
    bytesMax: numberIn(bytes),
    charset: charset ?? undefined,
    precision: numberIn(digits) ?? 0,
    isExact: isExact(type ?? "", collation ?? undefined),
  };
}

function numberIn(text: string | null | undefined): number | undefined {
  return typeof text === "string" ? Number(text) : undefined;
}

/** @throws EnvironmentError for a column that must have a value and gets none */
function assertComplete(rows: readonly Row[], columns: readonly MysqlColumn[], place: string): void {
  const written = new Set(columns.map(({ name }) => name));
  const lacking = rows.filter(
    (row) =>
      row.nullable === "NO" &&
      row.default_value === null &&
      !/auto_increment|default_generated/i.test(row.extra ?? "") &&
      !isGenerated(row) &&
      !written.has(row.name ?? ""),
  );
  if (lacking.length === 0) return;
  throw new EnvironmentError(
    `${place}: ${lacking.map(({ name }) => quoted(name ?? "")).join(", ")} must have a value and has no default; add what it ` +
      "gets to option columns",
  );
}

/**
 * An upsert updates the row that any unique index finds: a second one would make it another row than the key's.
 * @throws EnvironmentError
 */
async function assertUnique(
  session: MysqlSession,
  key: readonly MysqlColumn[],
  database: string,
  table: string,
): Promise<void> {
  const { rows } = await session.query(
    "SELECT INDEX_NAME AS name, COLUMN_NAME AS col, SUB_PART AS part FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 " +
      `AND TABLE_SCHEMA = ${literalText(database)} AND TABLE_NAME = ${literalText(table)} ORDER BY INDEX_NAME, SEQ_IN_INDEX`,
  );
  const indexes = new Map<string, string[]>();
  for (const { name, col, part } of rows) {
    const column = part === null ? (col ?? "") : `${col}(${part})`;
    indexes.set(name!, [...(indexes.get(name!) ?? []), column]);
  }
  const wanted = key.map(({ name }) => name).sort();
  const place = `table ${database}.${table}`;
  const isKey = (columns: readonly string[]) => [...columns].sort().join("\0") === wanted.join("\0");
  const columns = key.map(({ name }) => quoted(name)).join(", ");
  if (![...indexes.values()].some(isKey))
    throw new EnvironmentError(
      `${place} has no unique index on exactly the key's columns (${columns}), so a row of a key could not be found again: ` +
        `CREATE UNIQUE INDEX … ON ${quoted(table)} (${columns})`,
    );
  const other = [...indexes].find(([, found]) => !isKey(found));
  if (other !== undefined)
    throw new EnvironmentError(
      `${place} has another unique index, ${other[0]} (${other[1].join(", ")}), and an upsert would change the row that it finds; ` +
        "write by its columns as key, or drop it",
    );
  const nullable = key.find(({ isNullable }) => isNullable);
  if (nullable !== undefined)
    throw new EnvironmentError(
      `${place}: column ${quoted(nullable.name)} of the key may be null, and two nulls are two rows: ALTER TABLE ` +
        `${quoted(table)} MODIFY ${quoted(nullable.name)} ${nullable.fullType} NOT NULL`,
    );
}

async function hasTable(session: MysqlSession, database: string, table: string): Promise<boolean> {
  const { rows } = await session.query(
    `SELECT 1 AS found FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${literalText(database)} AND TABLE_NAME = ${literalText(table)}`,
  );
  return rows.length > 0;
}

/** Tries everything that a commit does, on no rows. @throws EnvironmentError that names the right that lacks */
async function assertRights(session: MysqlSession, table: MysqlTable): Promise<void> {
  const { name, columns, keyColumns, hasDeletions, database } = table;
  const names = columns.map((column) => quoted(column.name)).join(", ");
  const [first] = columns;
  const update =
    keyColumns > 0 ? ` ON DUPLICATE KEY UPDATE ${quoted(first!.name)} = ${name}.${quoted(first!.name)}` : "";
  const probes = [
    `INSERT INTO ${name} (${names}) SELECT ${columns.map(() => "NULL").join(", ")} FROM DUAL WHERE FALSE${update}`,
    ...(hasDeletions ? [`DELETE FROM ${name} WHERE FALSE`] : []),
    ...(table.hasMarkers ? new MarkerTable(database).probes : []),
  ];
  await session.query("BEGIN");
  for (const probe of probes) {
    try {
      await session.query(probe);
    } catch (error) {
      throw new EnvironmentError(
        `${table.place}: ${describeError(error)} (${numberOf(error)}); grant that right`,
        {
          cause: error,
        },
      );
    }
  }
  await session.query("ROLLBACK");
}

/** @throws EnvironmentError with the statement that makes the table of markers */
export function markersMissing(database: string): PrerequisiteError {
  return new PrerequisiteError(
    `exactly-once output needs a table of its own, in which the sink notes what is committed: ${markerTableDdl(database)}; or ` +
      "let the sink make it with provision: true",
  );
}

export function isNoTable(error: unknown): boolean {
  return numberOf(error) === NO_SUCH_TABLE;
}
