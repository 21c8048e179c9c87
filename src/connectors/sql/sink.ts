/**
 * A sink over a database, as far as all servers are alike: what is looked at before the first record, and the writer
 * over a marker table.
 */
import { show } from "../../config/quantity.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { Sink, SinkEnvironment, SinkWriter } from "../../dataflow/sink.ts";
import { unknownLife } from "../../dataflow/transaction-marker.ts";
import { ConfigurationError, EnvironmentError, PrerequisiteError, type TidemarkError } from "../../errors.ts";
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";
import { openMarkedWriter, type RecordForm } from "../transactions/marked-writer.ts";
import { type SqlDialect, type SqlSession, SqlTarget } from "./target.ts";

/** The table that holds the markers of all sinks which write to its schema or database. */
export const MARKER_TABLE = "tidemark_marker";

/** A table that was looked at, and can be written to. */
export interface DescribedTable {
  /** In words: "table public.orders". */
  readonly place: string;
  /** Table of the markers, in words: "table public.tidemark_marker". */
  readonly markerPlace: string;
  readonly hasMarkers: boolean;
  /** Statement that makes the table of dead letters, where one is wanted and is not there. */
  readonly deadLettersWanted: string | undefined;
}

/** What a kind of server does for its sink. */
export interface SqlServer<T, S extends SqlSession, D extends DescribedTable> {
  /** "postgres" */
  readonly kind: string;
  /** "the PostgreSQL sink" */
  readonly sink: string;
  /** The table in words, before it was looked at; without a password. */
  readonly place: string;
  /** @param environment of the subtask that it is for; undefined: only to look */
  open(environment?: SinkEnvironment): Promise<S>;
  /** @throws EnvironmentError that says what to mend */
  describe(session: S): Promise<D>;
  makeMarkers(session: S, table: D): Promise<void>;
  makeDeadLetters(session: S, statement: string): Promise<void>;
  markersMissing(table: D): TidemarkError;
  markersOf(session: S, table: D, job: string): Promise<readonly TransactionMarker[]>;
  formOf(table: D): RecordForm<T>;
  dialectOf(table: D, environment: SinkEnvironment, open: () => Promise<S>): SqlDialect<S>;
  errorOf(error: unknown): TidemarkError;
}

/** @param provision the table of markers is made at submission */
export function sqlSink<T, S extends SqlSession, D extends DescribedTable>(
  server: SqlServer<T, S, D>,
  provision: boolean,
): Sink<T> {
  return {
    kind: server.kind,
    guarantee: "exactly-once",
    async check(environment) {
      let session: S | undefined;
      try {
        session = await server.open();
        await checkTable(server, session, provision, environment);
      } catch (error) {
        throw server.errorOf(error);
      } finally {
        session?.destroy();
      }
    },
    async open(environment) {
      let session: S | undefined;
      try {
        session = await server.open(environment);
        return await openWriter(server, session, environment);
      } catch (error) {
        session?.destroy();
        throw server.errorOf(error);
      }
    },
  };
}

async function checkTable<T, S extends SqlSession, D extends DescribedTable>(
  server: SqlServer<T, S, D>,
  session: S,
  provision: boolean,
  { dryRun, made, resumes, unrecorded, job }: ConnectorEnvironment,
): Promise<void> {
  const table = await server.describe(session);
  // A job that goes on misses its markers itself: made anew they would not tell what was committed.
  if (!table.hasMarkers && resumes !== true) {
    if (!provision) throw server.markersMissing(table);
    if (dryRun !== true) {
      await server.makeMarkers(session, table);
      made?.(table.markerPlace);
    }
  }
  const { deadLettersWanted } = table;
  if (deadLettersWanted !== undefined) {
    if (!provision)
      throw new PrerequisiteError(
        `option refused names a table for dead letters that is not there: ${deadLettersWanted}; or let the sink make it with ` +
          "provision: true",
      );
    if (dryRun !== true) {
      await server.makeDeadLetters(session, deadLettersWanted);
      made?.(`table for dead letters of ${table.place}`);
    }
  }
  if (unrecorded === undefined || !table.hasMarkers) return;
  const markers = await server.markersOf(session, table, job);
  const refusal = unknownLife(markers, job, table.place, unrecorded);
  if (refusal !== undefined) throw refusal;
}

async function openWriter<T, S extends SqlSession, D extends DescribedTable>(
  server: SqlServer<T, S, D>,
  session: S,
  environment: SinkEnvironment,
): Promise<SinkWriter<T>> {
  const table = await server.describe(session);
  const dialect = server.dialectOf(table, environment, () => server.open(environment));
  const target = new SqlTarget(dialect, session, environment);
  return openMarkedWriter(
    { form: server.formOf(table), target, place: table.markerPlace, sink: server.sink },
    environment,
  );
}

/** A row of the table of markers, with its columns as text. */
export function markerOf(row: Readonly<Record<string, string | null>>): TransactionMarker {
  const checkpointId = Number(row.checkpoint);
  // A transaction is one part here, whatever its size.
  const part = checkpointId > 0 ? 1 : 0;
  const { job, incarnation, nonce, generation } = row;
  return {
    job: job ?? "",
    incarnation: incarnation ?? "",
    nonce: nonce ?? "",
    generation: Number(generation),
    checkpointId,
    part,
    parts: part,
  };
}

export function noColumn(
  place: string,
  name: string,
  columns: readonly string[],
  quoted: (name: string) => string,
): EnvironmentError {
  const near = columns.find((column) => column.toLowerCase() === name.toLowerCase());
  const hint = near === undefined ? ` (it has ${columns.join(", ")})` : `; did you mean ${quoted(near)}?`;
  return new EnvironmentError(`${place} has no column ${quoted(name)}${hint}`);
}

/** @throws ConfigurationError */
export function checkConnection(
  sink: string,
  connection: unknown,
  provision: unknown,
  schemes: readonly string[],
  packageName: string,
): void {
  const example = `${schemes[0]}//user@host/database`;
  const isOne =
    typeof connection === "string"
      ? URL.canParse(connection) && schemes.includes(new URL(connection).protocol)
      : typeof connection === "object" && connection !== null;
  if (!isOne)
    throw new ConfigurationError(
      "connection",
      `${sink}: connection must be a URL such as "${example}", or options of package ${packageName}, got ${typeof connection === "string" ? show(withoutPassword(connection)) : show(connection)}`,
    );
  if (typeof provision !== "boolean")
    throw new ConfigurationError(
      "provision",
      `${sink}: provision must be true or false, got ${show(provision)}`,
    );
}

/** A text that is no URL may be one with a slip in it. */
function withoutPassword(text: string): string {
  return text.replace(/:[^:@/]*@/, ":***@");
}
