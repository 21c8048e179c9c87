/**
 * One session of a MySQL or MariaDB server.
 *
 * Owns: the client package, the settings of the session, and its name. Does not own: what is asked, and what an error
 * means (errors.ts).
 *
 * - XR1 A session is one connection, which never reconnects by itself: a client that did would run the rest of a
 *   transaction without its beginning.
 * - XR2 Its settings make the server refuse what it would change: strict mode, UTC, utf8mb4, backslashes as escapes.
 */
import type { ConnectionOptions } from "mysql2";
import { ConfigurationError, describeError } from "../../errors.ts";
import { literalText } from "./literals.ts";

/** The options of a connection: those of package mysql2, of which these are the usual ones. */
export interface MysqlConnectionOptions {
  readonly host?: string;
  /** Default 3306. */
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  /** The options of `tls.connect`: `ca`, `cert`, `key`, … */
  readonly ssl?: object;
  readonly [option: string]: unknown;
}

/** Where the server is: a URL such as "mysql://user:password@host:3306/database", or options. */
export type MysqlConnection = string | MysqlConnectionOptions;

export interface MysqlAnswer {
  /** Rows that the WHERE of an UPDATE or the statement as a whole has found or written. */
  readonly affectedRows: number;
  /** Columns are text or null. */
  readonly rows: readonly Readonly<Record<string, string | null>>[];
}

export interface MysqlSession {
  /** One statement, with its values in it. */
  query(text: string): Promise<MysqlAnswer>;
  /** Ends the connection at once, whatever it is doing. */
  destroy(): void;
}

/** @param name of the session, by which another one can find and end it; undefined: none needs to */
export type OpenMysqlSession = (
  connection: MysqlConnection,
  name: string | undefined,
  signal?: AbortSignal,
) => Promise<MysqlSession>;

export const sessionTimes = { lockTimeoutS: 5, idleTimeoutS: 30, connectMs: 10_000 };

const SQL_MODE =
  "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION";

/** @throws ConfigurationError when the package is not installed; else what package mysql2 throws */
export const openMysqlSession: OpenMysqlSession = async (connection, name, signal) => {
  const { createConnection } = await loadPackage();
  const given: ConnectionOptions =
    typeof connection === "string" ? { uri: connection } : (connection as ConnectionOptions);
  const client = createConnection({
    connectTimeout: sessionTimes.connectMs,
    enableKeepAlive: true,
    ...given,
    charset: "utf8mb4_bin",
    multipleStatements: false,
    // Rows that an UPDATE has found count, also where it changes nothing.
    flags: [...[given.flags ?? []].flat(), "+FOUND_ROWS"],
    // What the server sends stays text: conversions are made here, or not at all.
    rowsAsArray: false,
    typeCast: (field) => field.string("utf8"),
  });
  let broken: unknown = signal?.aborted ? new Error("the generation has ended") : undefined;
  // Without a listener the process would end when an idle connection is lost.
  client.on("error", (error) => {
    broken ??= error;
  });
  const waiting = new Set<(error: Error) => void>();
  const destroy = () => {
    client.destroy();
    // A client that is destroyed tells nothing to those that wait for it.
    for (const reject of waiting) reject(new Error("the session was ended"));
    waiting.clear();
  };
  signal?.addEventListener("abort", destroy, { once: true });
  const query = (text: string) =>
    new Promise<MysqlAnswer>((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      waiting.add(reject);
      client.query(text, (error, answer) => {
        waiting.delete(reject);
        if (error) reject(error);
        else if (Array.isArray(answer)) resolve({ affectedRows: 0, rows: answer as MysqlAnswer["rows"] });
        else resolve({ affectedRows: answer.affectedRows, rows: [] });
      });
    });
  const session = {
    query,
    destroy() {
      signal?.removeEventListener("abort", destroy);
      destroy();
    },
  };
  try {
    await prepare(session, name);
    return session;
  } catch (error) {
    session.destroy();
    throw error;
  }
};

async function prepare({ query }: MysqlSession, name: string | undefined): Promise<void> {
  const { lockTimeoutS, idleTimeoutS } = sessionTimes;
  await query(
    `SET SESSION sql_mode = '${SQL_MODE}', time_zone = '+00:00', innodb_lock_wait_timeout = ${lockTimeoutS}, ` +
      `lock_wait_timeout = ${lockTimeoutS}, autocommit = 1`,
  );
  await query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED");
  const version = await query("SELECT VERSION() AS version");
  // MySQL has no such limit; there the session is ended by the one that waits for it.
  if (/mariadb/i.test(version.rows[0]?.version ?? ""))
    await query(`SET SESSION idle_transaction_timeout = ${idleTimeoutS}`);
  if (name !== undefined) await query(`SELECT GET_LOCK(${literalText(name)}, 0)`);
}

async function loadPackage() {
  try {
    return (await import("mysql2")).default;
  } catch (cause) {
    throw new ConfigurationError(
      "mysqlSink",
      `mysqlSink needs the package mysql2, which cannot be loaded (${describeError(cause)}); install it beside tidemark: ` +
        "npm install mysql2",
      { cause },
    );
  }
}
