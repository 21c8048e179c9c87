/** The MySQL and MariaDB sink: rows of a table, each written exactly once. */
import { checkMembers } from "../../config/members.ts";
import type { Sink } from "../../dataflow/sink.ts";
import { RecordRefusedError } from "../../errors.ts";
import { openError } from "../sql/errors.ts";
import { appendKeyedRow } from "../sql/keyed-rows.ts";
import { isDeletion, type RowMapping, rowMapping, type TableOptions } from "../sql/row-mapping.ts";
import { checkConnection, type SqlServer, sqlSink } from "../sql/sink.ts";
import type { RecordForm } from "../transactions/marked-writer.ts";
import { describeTable, type MysqlTable, markersMissing } from "./catalogue.ts";
import { columnWriter } from "./column-literals.ts";
import { judged } from "./errors.ts";
import { MarkerTable, markerTableDdl } from "./marker-table.ts";
import {
  type MysqlConnection,
  type MysqlSession,
  type OpenMysqlSession,
  openMysqlSession,
} from "./session.ts";
import { mysqlDialect, sessionName } from "./target.ts";

/** The options of `mysqlSink`. */
export interface MysqlSinkOptions<T> extends TableOptions<T> {
  /**
   * Where the server is: "mysql://user:password@host:3306/database", or the options of package `mysql2`. Every worker
   * must reach it.
   */
  readonly connection: MysqlConnection;
  /**
   * true: make the table in which the sink notes what is committed (`tidemark_marker`, in the database of `table`),
   * when the job is submitted. Default false: it must be there.
   */
  readonly provision?: boolean;
}

const OPTIONS = ["connection", "table", "columns", "key", "deletes", "refused", "provision"];

/**
 * Writes each record exactly once as a row of a table of MySQL or MariaDB: appended, or upserted by `key`. Rows become
 * visible with the decision of their checkpoint, all of a subtask in one transaction of the database, which also notes
 * that they are written.
 *
 * Needs the package `mysql2`. Tables must be InnoDB.
 *
 * @throws ConfigurationError
 */
export function mysqlSink<T>(
  options: MysqlSinkOptions<T>,
  open: OpenMysqlSession = openMysqlSession,
): Sink<T> {
  checkMembers(options, OPTIONS, "mysqlSink", "option");
  const { connection, provision = false } = options;
  checkConnection("mysqlSink", connection, provision, ["mysql:", "mariadb:"], "mysql2");
  const mapping = rowMapping(options, "mysqlSink");
  // Without the password.
  const place = `MySQL table ${mapping.schema === undefined ? "" : `${mapping.schema}.`}${mapping.table}`;
  const server: SqlServer<T, MysqlSession, MysqlTable> = {
    kind: "mysql",
    sink: "the MySQL sink",
    place,
    open(environment) {
      if (environment === undefined) return open(connection, undefined);
      const { incarnation, operator, subtaskIndex, generation, signal } = environment;
      const name = sessionName({ incarnation, operator, writer: subtaskIndex }, generation);
      return open(connection, name, signal);
    },
    describe: (session) => describeTable(session, mapping as unknown as RowMapping<never>),
    makeMarkers: async (session, { database }) => void (await session.query(markerTableDdl(database))),
    makeDeadLetters: async (session, statement) => void (await session.query(statement)),
    markersMissing: ({ database }) => markersMissing(database),
    markersOf: (session, { database }, job) => new MarkerTable(database).ofJob(session, job),
    formOf: (table) => formOf(mapping, table),
    dialectOf: mysqlDialect,
    errorOf: (error) => openError(judged(error), place),
  };
  return sqlSink(server, provision);
}

function formOf<T>({ columns, keyColumns, deletes }: RowMapping<T>, table: MysqlTable): RecordForm<T> {
  const read = columns.map((column) => column.read);
  const write = table.columns.map((column) => columnWriter(table.place, column));
  const textOf = (record: T, from: number, to: number): string => {
    let text = "";
    for (let i = from; i < to; i += 1) {
      if (i > 0) text += ",";
      text += write[i]!(read[i]!(record));
    }
    return text;
  };
  // A statement holds one row at least, in at most 3 bytes for each unit of its text.
  const charactersMax = table.packetBytesMax / 4;
  return {
    append(record, _, block) {
      const deletion = isDeletion(deletes, record, table.place);
      const key = textOf(record, 0, keyColumns);
      const rest = deletion ? "" : textOf(record, keyColumns, columns.length);
      if (key.length + rest.length > charactersMax)
        throw new RecordRefusedError(
          `a record cannot become a row of ${table.place}: it takes ${key.length + rest.length} characters in a statement, and the ` +
            `server takes ${charactersMax}; raise max_allowed_packet (${table.packetBytesMax})`,
        );
      appendKeyedRow(block, deletion, key, rest);
    },
  };
}
