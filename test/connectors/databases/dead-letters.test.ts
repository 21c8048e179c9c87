/** Records that a table refuses at the commit, as dead letters in the same transaction, on real servers. */
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openMysqlSession } from "../../../src/connectors/mysql/session.ts";
import { mysqlSink } from "../../../src/connectors/mysql/sink.ts";
import { openPostgresSession } from "../../../src/connectors/postgres/session.ts";
import { postgresSink } from "../../../src/connectors/postgres/sink.ts";
import type { Sink } from "../../../src/dataflow/sink.ts";
import { ConfigurationError, PrerequisiteError } from "../../../src/errors.ts";
import { prepareTransaction, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import {
  MARIADB_MISSING,
  type MariadbServer,
  mariadbRoot,
  startMariadb,
} from "../../support/servers/databases/mariadb.ts";
import {
  hasPostgres,
  POSTGRES_MISSING,
  type PostgresServer,
  startPostgres,
} from "../../support/servers/databases/postgres.ts";

interface Row {
  readonly id: number;
  readonly size: number;
}

interface Options {
  readonly keyed?: boolean;
  readonly provision?: boolean;
}

interface Database {
  start(): Promise<void>;
  stop(): Promise<void>;
  ask(statement: string): Promise<readonly Readonly<Record<string, string | null>>[]>;
  sink(options?: Options): Sink<Row>;
}

const columns = { id: "id", size: "size" } as const;
const optionsOf = ({ keyed = false, provision = true }: Options = {}) => ({
  table: "boxes",
  columns,
  provision,
  refused: { deadLetter: "refused boxes" },
  ...(keyed && { key: ["id"] }),
});

let postgres: PostgresServer;
let mariadb: MariadbServer;
const DATABASES: readonly (readonly [string, boolean, Database])[] = [
  [
    `PostgreSQL${hasPostgres ? "" : ` (${POSTGRES_MISSING})`}`,
    hasPostgres,
    {
      async start() {
        postgres = await startPostgres();
      },
      stop: () => postgres.stop(),
      async ask(statement) {
        const session = await openPostgresSession(postgres.url);
        return (await session.query(statement).finally(() => session.destroy())).rows;
      },
      sink: (options) => postgresSink<Row>({ connection: postgres.url, ...optionsOf(options) }),
    },
  ],
  [
    `MariaDB${MARIADB_MISSING}`,
    typeof mariadbRoot === "string",
    {
      async start() {
        mariadb = await startMariadb();
      },
      stop: () => mariadb.stop(),
      async ask(statement) {
        const session = await openMysqlSession(mariadb.connection, undefined);
        return (await session.query(statement.replaceAll('"', "`")).finally(() => session.destroy())).rows;
      },
      sink: (options) => mysqlSink<Row>({ connection: mariadb.connection, ...optionsOf(options) }),
    },
  ],
];

describe.each(DATABASES)("%s", (_, isThere, database) => {
  beforeAll(async () => {
    if (isThere) await database.start();
    return async () => {
      if (isThere) await database.stop();
    };
  });
  beforeEach(async () => {
    if (!isThere) return;
    for (const table of ["boxes", '"refused boxes"', "tidemark_marker"])
      await database.ask(`DROP TABLE IF EXISTS ${table}`);
    await database.ask("CREATE TABLE boxes (id int PRIMARY KEY, size int NOT NULL CHECK (size < 1000))");
  });

  const open = async (options?: Options) => {
    const sink = database.sink(options);
    await sink.check(sinkEnvironment());
    return sink.open(sinkEnvironment());
  };
  const letters = () =>
    database.ask('SELECT sink, writer, checkpoint, content, reason FROM "refused boxes" ORDER BY content');

  test.skipIf(!isThere).each([
    ["appended", false],
    ["upserted", true],
  ])("two bad rows of 10,000 are dead letters, and all others are written, %s", async (__, keyed) => {
    const writer = await open({ keyed });
    const rows = Array.from({ length: 10_000 }, (___, id) => ({
      id,
      size: id === 17 || id === 7_171 ? 1_000 : 1,
    }));
    const transaction = await prepareTransaction(writer, 1, rows);
    await writer.commit(transaction);
    await writer.commit(transaction);
    expect(await database.ask("SELECT count(*) AS n, sum(size) AS total FROM boxes")).toEqual([
      { n: "9998", total: "9998" },
    ]);
    expect(await letters()).toEqual(
      ["17", "7171"].map((id) => ({
        sink: "out",
        writer: "0",
        checkpoint: "1",
        content: expect.stringMatching(new RegExp(`^${id}[\\t,]1000$`)),
        reason: expect.stringMatching(/constraint|CONSTRAINT/),
      })),
    );
    await writer.commit(await prepareTransaction(writer, 2, [{ id: 10_001, size: 2 }]));
    expect(await database.ask("SELECT count(*) AS n FROM boxes")).toEqual([{ n: "9999" }]);
    await writer.close();
  });

  test.skipIf(!isThere)(
    "a key that is there already, and a transaction of nothing but bad rows",
    async () => {
      const writer = await open();
      await writer.commit(await prepareTransaction(writer, 1, [{ id: 1, size: 1 }]));
      await writer.commit(await prepareTransaction(writer, 2, [{ id: 1, size: 2 }]));
      expect(await database.ask("SELECT * FROM boxes")).toEqual([{ id: "1", size: "1" }]);
      expect(await letters()).toMatchObject([
        { checkpoint: "2", reason: expect.stringMatching(/[Dd]uplicate/) },
      ]);
      await writer.close();
    },
  );

  test.skipIf(!isThere)("the table of dead letters is made, or asked for", async () => {
    const asked = database.sink({ provision: false }).check(sinkEnvironment());
    await expect(asked).rejects.toThrow(PrerequisiteError);
    const made: string[] = [];
    await database.sink().check(sinkEnvironment({ dryRun: true }));
    await expect(letters()).rejects.toThrow();
    await database.sink().check(sinkEnvironment({ made: (what) => void made.push(what) }));
    expect(made).toHaveLength(2);
    expect(await letters()).toEqual([]);
    await database.ask('DROP TABLE "refused boxes"');
    await expect(database.sink({ provision: false }).check(sinkEnvironment())).rejects.toThrow(
      /dead letters that is not there: CREATE TABLE .*refused boxes.*provision: true/,
    );
  });
});

test("a table of dead letters without a name is refused", () => {
  const sink = () =>
    postgresSink<Row>({ connection: "postgres://h/d", ...optionsOf(), refused: { deadLetter: "" } });
  expect(sink).toThrow(ConfigurationError);
  expect(sink).toThrow(/refused must be "fail", or \{ deadLetter \} with the name of a table/);
});
