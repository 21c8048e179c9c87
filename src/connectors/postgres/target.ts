/**
 * The transactions of one sink subtask in PostgreSQL.
 *
 * - XF1 COMMIT has committed only when its tag says so: of a failed transaction it succeeds, as ROLLBACK.
 * - XF2 Settings are those of the transaction (SET LOCAL): behind a pooler a session is shared with others.
 */
import { createHash } from "node:crypto";
import type { SinkEnvironment } from "../../dataflow/sink.ts";
import { TargetUnavailableError } from "../../errors.ts";
import { commitError } from "../sql/errors.ts";
import { rowsIn } from "../sql/keyed-rows.ts";
import type { DeadLetters, SqlDialect } from "../sql/target.ts";
import type { MarkerKey } from "../transactions/target.ts";
import { markersMissing, type PostgresTable } from "./catalogue.ts";
import { codeOf, judged, LOCK_NOT_AVAILABLE, UNDEFINED_TABLE } from "./errors.ts";
import { literal } from "./identifiers.ts";
import { MarkerTable } from "./marker-table.ts";
import type { PostgresSession } from "./session.ts";
import { RowStatements } from "./statements.ts";

export const sessionTimes = { lockTimeoutMs: 5_000, idleTimeoutMs: 30_000 };

export function postgresDialect(
  table: PostgresTable,
  { incarnation, operator, subtaskIndex, generation }: SinkEnvironment,
  open: () => Promise<PostgresSession>,
): SqlDialect<PostgresSession> {
  const { place, schema } = table;
  const markers = new MarkerTable(schema);
  const rows = new RowStatements(table);
  const begin = [
    "BEGIN",
    `SET LOCAL application_name = ${literal(`${sessionName({ incarnation, operator, writer: subtaskIndex })} ${generation}`)}`,
    `SET LOCAL lock_timeout = ${sessionTimes.lockTimeoutMs}`,
    `SET LOCAL idle_in_transaction_session_timeout = ${sessionTimes.idleTimeoutMs}`,
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO'",
  ].join("; ");
  return {
    place,
    open,
    begin: async (session) => void (await session.query(begin)),
    async commit(session) {
      const { command } = await session.query("COMMIT");
      if (command !== "COMMIT")
        throw new TargetUnavailableError(`${place}: the server answered COMMIT with ${command}`);
    },
    rollback: async (session) => void (await session.query("ROLLBACK")),
    async readMarker(session, key) {
      try {
        return await markers.read(session, key);
      } catch (error) {
        if (codeOf(error) === UNDEFINED_TABLE) return undefined;
        throw error;
      }
    },
    async replaceMarker(session, key, expected, next) {
      try {
        return await markers.replace(session, key, expected, next);
      } catch (error) {
        if (codeOf(error) !== UNDEFINED_TABLE) throw error;
        if (expected === undefined) throw markersMissing(schema);
        return false; // Then the marker is missed where it is read.
      }
    },
    writeRows: (session, transaction) => rows.write(session, transaction),
    deadLetters: deadLettersOf(table, rows),
    isLockRefusal: (error) => codeOf(error) === LOCK_NOT_AVAILABLE,
    async evict(session, key) {
      const ended = await session.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() " +
          "AND application_name LIKE $1 AND split_part(application_name, ' ', 4)::bigint <= $2",
        [`${sessionName(key)} %`, generation],
      );
      return ended.rows.length;
    },
    errorOf: (error, act) => commitError(judged(error), place, act),
  };
}

function deadLettersOf(
  { deadLetters: name, keyColumns }: PostgresTable,
  rows: RowStatements,
): DeadLetters<PostgresSession> | undefined {
  if (name === undefined) return undefined;
  return {
    isRecordRefusal: (error) => judged(error).is === "record",
    rowsOf: (batch) => rows.rowsOf(batch),
    async bury(session, { key, checkpointId, row, error }) {
      const text = keyColumns > 0 ? rowsIn(row)[0]!.text : Buffer.from(row).toString("utf8").trimEnd();
      await session.query(
        `INSERT INTO ${name} (incarnation, sink, writer, checkpoint, content, reason) VALUES ($1, $2, $3, $4, $5, $6)`,
        [key.incarnation, key.operator, key.writer, checkpointId, text, judged(error).words],
      );
    },
  };
}

/** Short: the server cuts names of applications at 63 bytes. */
function sessionName({ incarnation, operator, writer }: MarkerKey): string {
  const life = createHash("sha256").update(`${incarnation}/${operator}`).digest("hex").slice(0, 16);
  return `tidemark ${life} ${writer}`;
}
