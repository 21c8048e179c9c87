/** The PostgreSQL sink: rows of a table, each written exactly once. */
import { checkMembers } from "../../config/members.ts";
import type { Sink } from "../../dataflow/sink.ts";
import { openError } from "../sql/errors.ts";
import { appendKeyedRow } from "../sql/keyed-rows.ts";
import { isDeletion, type RowMapping, rowMapping, type TableOptions } from "../sql/row-mapping.ts";
import { checkConnection, type SqlServer, sqlSink } from "../sql/sink.ts";
import type { ByteBlock } from "../transactions/byte-block.ts";
import type { RecordForm } from "../transactions/marked-writer.ts";
import { describeTable, markersMissing, type PostgresTable } from "./catalogue.ts";
import { columnWriter } from "./copy-text.ts";
import { judged } from "./errors.ts";
import { MarkerTable, markerTableDdl } from "./marker-table.ts";
import {
  type OpenPostgresSession,
  openPostgresSession,
  type PostgresConnection,
  type PostgresSession,
} from "./session.ts";
import { postgresDialect } from "./target.ts";

/** The options of `postgresSink`. */
export interface PostgresSinkOptions<T> extends TableOptions<T> {
  /**
   * Where the server is: "postgres://user:password@host:5432/database", or the options of package `pg`. Every worker
   * must reach it.
   */
  readonly connection: PostgresConnection;
  /**
   * true: make the table in which the sink notes what is committed (`tidemark_marker`, in the schema of `table`), when
   * the job is submitted. Default false: it must be there.
   */
  readonly provision?: boolean;
}

const OPTIONS = ["connection", "table", "columns", "key", "deletes", "refused", "provision"];

/**
 * Writes each record exactly once as a row of a PostgreSQL table: appended, or upserted by `key`. Rows become visible
 * with the decision of their checkpoint, all of a subtask in one transaction of the database, which also notes that
 * they are written.
 *
 * Needs the packages `pg` and `pg-copy-streams`. Works behind PgBouncer in transaction mode.
 *
 * @throws ConfigurationError
 */
export function postgresSink<T>(
  options: PostgresSinkOptions<T>,
  open: OpenPostgresSession = openPostgresSession,
): Sink<T> {
  checkMembers(options, OPTIONS, "postgresSink", "option");
  const { connection, provision = false } = options;
  checkConnection("postgresSink", connection, provision, ["postgres:", "postgresql:"], "pg");
  const mapping = rowMapping(options, "postgresSink");
  // Without the password.
  const place = `PostgreSQL table ${mapping.schema === undefined ? "" : `${mapping.schema}.`}${mapping.table}`;
  const server: SqlServer<T, PostgresSession, PostgresTable> = {
    kind: "postgres",
    sink: "the PostgreSQL sink",
    place,
    open: (environment) => open(connection, environment?.signal),
    describe: (session) => describeTable(session, mapping as unknown as RowMapping<never>),
    makeMarkers: async (session, { schema }) => void (await session.query(markerTableDdl(schema))),
    makeDeadLetters: async (session, statement) => void (await session.query(statement)),
    markersMissing: ({ schema }) => markersMissing(schema),
    markersOf: (session, { schema }, job) => new MarkerTable(schema).ofJob(session, job),
    formOf: (table) => formOf(mapping, table),
    dialectOf: postgresDialect,
    errorOf: (error) => openError(judged(error), place),
  };
  return sqlSink(server, provision);
}

function formOf<T>({ columns, keyColumns, deletes }: RowMapping<T>, table: PostgresTable): RecordForm<T> {
  const read = columns.map((column) => column.read);
  const write = table.columns.map((column) => columnWriter(table.place, column));
  const textOf = (record: T, from: number, to: number): string => {
    let text = "";
    for (let i = from; i < to; i += 1) {
      if (i > 0) text += "\t";
      text += write[i]!(read[i]!(record));
    }
    return text;
  };
  if (keyColumns === 0)
    return {
      append: (record, _, block: ByteBlock) => block.text(`${textOf(record, 0, columns.length)}\n`),
    };
  return {
    append(record, _, block) {
      const deletion = isDeletion(deletes, record, table.place);
      const key = textOf(record, 0, keyColumns);
      const rest = deletion ? "" : textOf(record, keyColumns, columns.length);
      appendKeyedRow(block, deletion, key, rest);
    },
  };
}
