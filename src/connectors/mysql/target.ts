/** The transactions of one sink subtask in MySQL or MariaDB. */
import { createHash } from "node:crypto";
import type { SinkEnvironment } from "../../dataflow/sink.ts";
import { commitError } from "../sql/errors.ts";
import { framedRows, rowsIn } from "../sql/keyed-rows.ts";
import type { DeadLetters, SqlDialect } from "../sql/target.ts";
import type { MarkerKey } from "../transactions/target.ts";
import { isNoTable, type MysqlTable, markersMissing } from "./catalogue.ts";
import { judged, LOCK_WAIT_TIMEOUT, numberOf } from "./errors.ts";
import { literalText } from "./literals.ts";
import { MarkerTable } from "./marker-table.ts";
import type { MysqlSession } from "./session.ts";
import { RowStatements } from "./statements.ts";

const DUPLICATE_KEY = 1062;
const NO_SUCH_THREAD = 1094;
/** Sessions of so many generations are looked for, from this one's back. Older ones have long been ended. */
const GENERATIONS_MAX = 64;

export function mysqlDialect(
  table: MysqlTable,
  { generation }: SinkEnvironment,
  open: () => Promise<MysqlSession>,
): SqlDialect<MysqlSession> {
  const { place, database } = table;
  const markers = new MarkerTable(database);
  const rows = new RowStatements(table);
  return {
    place,
    open,
    begin: async (session) => void (await session.query("BEGIN")),
    commit: async (session) => void (await session.query("COMMIT")),
    rollback: async (session) => void (await session.query("ROLLBACK")),
    async readMarker(session, key) {
      try {
        return await markers.read(session, key);
      } catch (error) {
        if (isNoTable(error)) return undefined;
        throw error;
      }
    },
    async replaceMarker(session, key, expected, next) {
      try {
        return await markers.replace(session, key, expected, next);
      } catch (error) {
        // Made by another generation in between, or missed where it is read.
        if (expected === undefined && numberOf(error) === DUPLICATE_KEY) return false;
        if (!isNoTable(error)) throw error;
        if (expected === undefined) throw markersMissing(database);
        return false;
      }
    },
    writeRows: (session, transaction) => rows.write(session, transaction),
    deadLetters: deadLettersOf(table),
    isLockRefusal: (error) => numberOf(error) === LOCK_WAIT_TIMEOUT,
    async evict(session, key) {
      const oldest = Math.max(0, generation - GENERATIONS_MAX);
      const names = Array.from({ length: generation - oldest + 1 }, (_, i) => sessionName(key, oldest + i));
      const found = await session.query(
        `SELECT CONNECTION_ID() AS own, ${names.map((name, i) => `IS_USED_LOCK(${literalText(name)}) AS l${i}`).join(", ")}`,
      );
      const { own, ...holders } = found.rows[0] ?? {};
      const ids = Object.values(holders).filter((id) => id !== null && id !== own);
      for (const id of ids) await killed(session, id!);
      return ids.length;
    },
    errorOf: (error, act) => commitError(judged(error), place, act),
  };
}

function deadLettersOf({ deadLetters: name }: MysqlTable): DeadLetters<MysqlSession> | undefined {
  if (name === undefined) return undefined;
  return {
    isRecordRefusal: (error) => judged(error).is === "record",
    rowsOf: framedRows,
    async bury(session, { key, checkpointId, row, error }) {
      const texts = [key.incarnation, key.operator, rowsIn(row)[0]!.text, judged(error).words].map(
        literalText,
      );
      const [incarnation, sink, content, reason] = texts;
      await session.query(
        `INSERT INTO ${name} (incarnation, sink, writer, checkpoint, content, reason) VALUES (${incarnation}, ${sink}, ` +
          `${key.writer}, ${checkpointId}, ${content}, ${reason})`,
      );
    },
  };
}

async function killed(session: MysqlSession, id: string): Promise<void> {
  try {
    await session.query(`KILL CONNECTION ${Number(id)}`);
  } catch (error) {
    if (numberOf(error) !== NO_SUCH_THREAD) throw error;
  }
}

/** The name of the lock that a session holds as long as it lives, by which it is found. At most 64 characters. */
export function sessionName({ incarnation, operator, writer }: MarkerKey, generation: number): string {
  const life = createHash("sha256").update(`${incarnation}/${operator}`).digest("hex").slice(0, 16);
  return `tidemark ${life} ${writer} ${generation}`;
}
