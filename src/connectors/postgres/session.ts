/**
 * One session of a PostgreSQL server.
 *
 * Owns: the client package, and the calls that the sink makes of it. Does not own: what is asked, and what an error
 * means (errors.ts).
 *
 * - XS1 A session is one connection, which never reconnects by itself: a client that did would run the rest of a
 *   transaction without its beginning.
 */
import { once } from "node:events";
import type { ClientConfig } from "pg";
import { ConfigurationError, describeError } from "../../errors.ts";

/** The options of a connection: those of package pg, of which these are the usual ones. */
export interface PostgresConnectionOptions {
  readonly host?: string;
  /** Default 5432. */
  readonly port?: number;
  readonly user?: string;
  readonly password?: string | (() => string | Promise<string>);
  readonly database?: string;
  /** true, or the options of `tls.connect`: `ca`, `cert`, `key`, … */
  readonly ssl?: boolean | object;
  readonly [option: string]: unknown;
}

/** Where the server is: a URL such as "postgres://user:password@host:5432/database", or options. */
export type PostgresConnection = string | PostgresConnectionOptions;

export interface PostgresAnswer {
  /** The command tag's first word: "UPDATE", "COMMIT", "ROLLBACK". */
  readonly command: string;
  readonly rowCount: number;
  /** Columns are text or null, as the server sent them. */
  readonly rows: readonly Readonly<Record<string, string | null>>[];
}

export interface PostgresSession {
  /** One statement; several, with ";" between them, where there are no values. */
  query(text: string, values?: readonly unknown[]): Promise<PostgresAnswer>;
  /** `COPY … FROM STDIN`. */
  copy(text: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** Ends the connection at once, whatever it is doing. */
  destroy(): void;
}

export type OpenPostgresSession = (
  connection: PostgresConnection,
  signal?: AbortSignal,
) => Promise<PostgresSession>;

const CONNECT_MS_MAX = 10_000;

/** @throws ConfigurationError when the packages are not installed; else what package pg throws */
export const openPostgresSession: OpenPostgresSession = async (connection, signal) => {
  const { pg, copyFrom } = await loadPackages();
  const given =
    typeof connection === "string" ? { connectionString: connection } : (connection as ClientConfig);
  const client = new pg.Client({
    connectionTimeoutMillis: CONNECT_MS_MAX,
    keepAlive: true,
    ...given,
    // What the server sends stays text: conversions are made here, or not at all.
    types: { getTypeParser: () => (text: unknown) => text } as never,
  });
  let broken: unknown;
  // Without a listener the process would end when an idle connection is lost.
  client.on("error", (error) => {
    broken ??= error;
  });
  const destroy = () => {
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    client.end().catch(() => {});
  };
  signal?.addEventListener("abort", destroy, { once: true });
  try {
    await client.connect();
  } catch (error) {
    signal?.removeEventListener("abort", destroy);
    destroy();
    throw error;
  }
  const alive = () => {
    if (broken !== undefined) throw broken;
  };
  return {
    async query(text, values) {
      alive();
      const found: unknown = await client.query(text, values as unknown[] | undefined);
      // Several statements: the last one answers.
      const answer = (Array.isArray(found) ? found.at(-1) : found) as Partial<PostgresAnswer>;
      return { command: answer.command ?? "", rowCount: answer.rowCount ?? 0, rows: answer.rows ?? [] };
    },
    async copy(text, content) {
      alive();
      const stream = client.query(copyFrom(text));
      const done = once(stream, "finish");
      done.catch(() => {});
      try {
        for await (const chunk of content)
          if (!stream.write(chunk)) await Promise.race([once(stream, "drain"), done]);
      } catch (error) {
        // The server forgets what it has got; its own error says why, if it was the one that ended it.
        stream.destroy();
        throw error;
      }
      stream.end();
      await done;
    },
    destroy() {
      signal?.removeEventListener("abort", destroy);
      destroy();
    },
  };
};

async function loadPackages() {
  try {
    const [{ default: pg }, { from: copyFrom }] = await Promise.all([
      import("pg"),
      import("pg-copy-streams"),
    ]);
    return { pg, copyFrom };
  } catch (cause) {
    throw new ConfigurationError(
      "postgresSink",
      `postgresSink needs the packages pg and pg-copy-streams, which cannot be loaded (${describeError(cause)}); install ` +
        "them beside tidemark: npm install pg pg-copy-streams",
      { cause },
    );
  }
}
