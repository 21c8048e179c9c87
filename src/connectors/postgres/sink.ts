/** The PostgreSQL sink: rows of a table, each written exactly once. */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { Sink, SinkEnvironment, SinkWriter } from "../../dataflow/sink.ts";
import { unknownLife } from "../../dataflow/transaction-marker.ts";
import { ConfigurationError } from "../../errors.ts";
import { appendKeyedRow } from "../sql/keyed-rows.ts";
import { isDeletion, type RowMapping, rowMapping, type TableOptions } from "../sql/row-mapping.ts";
import type { ByteBlock } from "../transactions/byte-block.ts";
import { openMarkedWriter, type RecordForm } from "../transactions/marked-writer.ts";
import { describeTable, markersMissing, type PostgresTable } from "./catalogue.ts";
import { columnWriter } from "./copy-text.ts";
import { openError } from "./errors.ts";
import { MARKER_TABLE, MarkerTable, markerTableDdl } from "./marker-table.ts";
import {
  type OpenPostgresSession,
  openPostgresSession,
  type PostgresConnection,
  type PostgresSession,
} from "./session.ts";
import { PostgresTarget } from "./target.ts";

/** The options of `postgresSink`. */
export interface PostgresSinkOptions<T> extends TableOptions<T> {
  /**
   * Where the server is: "postgres://user:password@host:5432/database", or the options of package `pg`. Every worker must
   * reach it.
   */
  readonly connection: PostgresConnection;
  /**
   * true: make the table in which the sink notes what is committed (`tidemark_marker`, in the schema of `table`), when
   * the job is submitted. Default false: it must be there.
   */
  readonly provision?: boolean;
}

const OPTIONS = ["connection", "table", "columns", "key", "deletes", "provision"];

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
  if (
    !(typeof connection === "string"
      ? connection !== ""
      : typeof connection === "object" && connection !== null)
  )
    throw new ConfigurationError(
      "connection",
      `postgresSink: connection must be a URL such as "postgres://user@host:5432/database", or options of package pg, got ${typeof connection === "string" ? show(connection) : typeof connection}`,
    );
  if (typeof provision !== "boolean")
    throw new ConfigurationError(
      "provision",
      `postgresSink: provision must be true or false, got ${show(provision)}`,
    );
  return new PostgresSink(rowMapping(options, "postgresSink"), connection, provision, open);
}

class PostgresSink<T> implements Sink<T> {
  readonly kind = "postgres";
  readonly guarantee = "exactly-once";
  readonly #mapping: RowMapping<T>;
  readonly #connection: PostgresConnection;
  readonly #provision: boolean;
  readonly #open: OpenPostgresSession;

  constructor(
    mapping: RowMapping<T>,
    connection: PostgresConnection,
    provision: boolean,
    open: OpenPostgresSession,
  ) {
    this.#mapping = mapping;
    this.#connection = connection;
    this.#provision = provision;
    this.#open = open;
  }

  async check(environment: ConnectorEnvironment): Promise<void> {
    await this.#connected(undefined, async (session) => {
      const table = await this.#described(session);
      const { schema, hasMarkers } = table;
      if (!hasMarkers && this.#provision && environment.resumes !== true) {
        if (environment.dryRun === true) return;
        await session.query(markerTableDdl(schema));
        environment.made?.(`table ${schema}.${MARKER_TABLE}`);
      } else if (!hasMarkers && environment.resumes !== true) throw markersMissing(schema);
      const { unrecorded, job } = environment;
      if (unrecorded === undefined || !hasMarkers) return;
      const markers = await new MarkerTable(schema).ofJob(session, job);
      const refusal = unknownLife(markers, job, `table ${table.name}`, unrecorded);
      if (refusal !== undefined) throw refusal;
    });
  }

  async open(environment: SinkEnvironment): Promise<SinkWriter<T>> {
    const { signal } = environment;
    const session = await this.#open(this.#connection, signal).catch((error: unknown) => {
      throw openError(error, this.#place);
    });
    try {
      const table = await this.#described(session);
      const target = new PostgresTarget(
        session,
        () => this.#open(this.#connection, signal),
        table,
        environment,
      );
      return await openMarkedWriter(
        {
          form: formOf(this.#mapping, table),
          target,
          place: `table ${table.schema}.${MARKER_TABLE}`,
          sink: "the PostgreSQL sink",
        },
        environment,
      );
    } catch (error) {
      session.destroy();
      throw openError(error, this.#place);
    }
  }

  #described(session: PostgresSession): Promise<PostgresTable> {
    return describeTable(session, this.#mapping as unknown as RowMapping<never>);
  }

  async #connected(
    signal: AbortSignal | undefined,
    work: (session: PostgresSession) => Promise<void>,
  ): Promise<void> {
    let session: PostgresSession | undefined;
    try {
      session = await this.#open(this.#connection, signal);
      await work(session);
    } catch (error) {
      throw openError(error, this.#place);
    } finally {
      session?.destroy();
    }
  }

  /** Without the password. */
  get #place(): string {
    const { schema, table } = this.#mapping;
    return `PostgreSQL table ${schema === undefined ? table : `${schema}.${table}`}`;
  }
}

function formOf<T>({ columns, keyColumns, deletes }: RowMapping<T>, table: PostgresTable): RecordForm<T> {
  const read = columns.map((column) => column.read);
  const write = table.columns.map((column) => columnWriter(table.name, column));
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
      const deletion = isDeletion(deletes, record, table.name);
      const key = textOf(record, 0, keyColumns);
      const rest = deletion ? "" : textOf(record, keyColumns, columns.length);
      appendKeyedRow(block, deletion, key, rest);
    },
  };
}
