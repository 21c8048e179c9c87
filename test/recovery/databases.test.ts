/**
 * Jobs that write into real databases, while their workers and the database are killed: each record is a row once, and
 * the rows with a key are those of the last record.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openMysqlSession } from "../../src/connectors/mysql/session.ts";
import { openPostgresSession } from "../../src/connectors/postgres/session.ts";
import { Workspace } from "../cli/workspace.ts";
import { MARIADB_MISSING, mariadbRoot, startMariadb } from "../support/servers/databases/mariadb.ts";
import { hasPostgres, POSTGRES_MISSING, startPostgres } from "../support/servers/databases/postgres.ts";
import type { DatabaseProcess } from "../support/servers/databases/process.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";

const RECORDS = 30_000;
const KEYS = 40;

interface Database {
  readonly process: DatabaseProcess;
  /** As it stands in the job file. */
  readonly sink: string;
  readonly connection: string;
  ask(statement: string): Promise<readonly Readonly<Record<string, string | null>>[]>;
}

const jobFor = ({
  sink,
  connection,
}: Database) => `import { defineJob, generatorSource, ${sink}, valueState } from "tidemark";
const connection = ${connection};
export default defineJob("counts", {
  parallelism: 2,
  checkpointing: { interval: "200ms", timeout: "1h", tolerableFailures: "unlimited" },
  heartbeat: { timeout: "1h" },
  restart: { strategy: "exponential-delay", initialBackoff: "50ms", maxBackoff: "500ms" },
}, (job) => {
  const counted = job
    .source("numbers", generatorSource({ count: ${RECORDS}, ratePerSecond: 4000, splits: 2, generate: (n) => ({ n, key: "key " + (n % ${KEYS}) }) }))
    .keyBy((seen) => seen.key)
    .process("count", {
      state: { count: valueState(0) },
      onRecord({ n, key }, { state, emit }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        emit({ n, key, count });
      },
    });
  counted.sink("log", ${sink}({ connection, table: "log", columns: { n: "n", keyed: "key", counted: "count" }, provision: true }));
  counted.sink("totals", ${sink}({ connection, table: "totals", columns: { keyed: "key", counted: "count" }, key: ["keyed"], provision: true }));
});
`;

const DATABASES: readonly (readonly [string, boolean, () => Promise<Database>])[] = [
  [
    `PostgreSQL${hasPostgres ? "" : ` (${POSTGRES_MISSING})`}`,
    hasPostgres,
    async () => {
      const process = await startPostgres();
      return {
        process,
        sink: "postgresSink",
        connection: JSON.stringify(process.url),
        async ask(statement) {
          const session = await openPostgresSession(process.url);
          return (await session.query(statement).finally(() => session.destroy())).rows;
        },
      };
    },
  ],
  [
    `MariaDB${MARIADB_MISSING}`,
    typeof mariadbRoot === "string",
    async () => {
      const process = await startMariadb();
      return {
        process,
        sink: "mysqlSink",
        connection: JSON.stringify(process.connection),
        async ask(statement) {
          const session = await openMysqlSession(process.connection, undefined);
          return (await session.query(statement).finally(() => session.destroy())).rows;
        },
      };
    },
  ],
];

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());

describe.each(DATABASES)("%s", (name, isThere, startDatabase) => {
  let database: Database;
  let workspace: Workspace;

  beforeEach(async () => {
    if (!isThere) return;
    workspace = await Workspace.create();
    database = await startDatabase();
    return async () => {
      await workspace.remove();
      await database.process.stop();
    };
  });

  test.skipIf(!isThere)("workers and the database are killed, and a worker sleeps meanwhile", async () => {
    await database.ask(
      "CREATE TABLE log (n bigint NOT NULL, keyed varchar(20) NOT NULL, counted bigint NOT NULL)",
    );
    await database.ask("CREATE TABLE totals (keyed varchar(20) PRIMARY KEY, counted bigint NOT NULL)");
    workspace.write("job.js", jobFor(database));
    const here = (...args: string[]) => [
      ...args,
      "--server",
      server.url,
      "--prefix",
      name.replace(/\W.*/, ""),
    ];
    const startWorker = () => workspace.start(here("worker", "job.js", "--slots", "2"));
    const coordinator = workspace.start(here("coordinator"));
    let [first, second] = [startWorker(), startWorker()];
    expect(await workspace.run(here("submit", "job.js"))).toMatchObject({ code: 0 });

    const rows = async () => Number((await database.ask("SELECT count(*) AS n FROM log"))[0]?.n);
    const said = () => `${coordinator.stderr.slice(-1500)}\n--- worker\n${first.stderr.slice(-1500)}`;
    const more = async () => {
      const before = await rows();
      await until("more rows are committed", async () => (await rows()) > before, {
        describe: () => `${before} rows; ${said()}`,
      });
    };
    for (let round = 0; round < 3; round += 1) {
      await more();
      first.kill("SIGKILL");
      await first.ended;
      first = startWorker();
      await more();
      second.kill("SIGSTOP");
      await database.process.crash();
      await database.process.restart();
      second.kill("SIGCONT");
      await more();
      second.kill("SIGKILL");
      await second.ended;
      second = startWorker();
    }
    await until("all records are rows", async () => (await rows()) >= RECORDS, { describe: said });
    await until("the job has finished", async () =>
      (await workspace.run(here("status", "counts"))).stdout.includes("finished"),
    );

    const [log] = await database.ask(
      "SELECT count(*) AS n, count(DISTINCT n) AS different, min(n) AS lowest, max(n) AS highest FROM log",
    );
    expect(log).toEqual({ n: `${RECORDS}`, different: `${RECORDS}`, lowest: "0", highest: `${RECORDS - 1}` });
    // Each key was counted from 1 on, without a gap or a repetition.
    const gaps = await database.ask(
      `SELECT keyed FROM log GROUP BY keyed HAVING count(DISTINCT counted) <> ${RECORDS / KEYS} OR max(counted) <> ${RECORDS / KEYS}`,
    );
    expect(gaps).toEqual([]);
    const totals = await database.ask(
      "SELECT count(*) AS n, min(counted) AS least, max(counted) AS most FROM totals",
    );
    expect(totals).toEqual([{ n: `${KEYS}`, least: `${RECORDS / KEYS}`, most: `${RECORDS / KEYS}` }]);
    // Nothing is left open in the database.
    const markers = await database.ask("SELECT DISTINCT sink FROM tidemark_marker ORDER BY sink");
    expect(markers).toEqual([{ sink: "log" }, { sink: "totals" }]);
  });
});
