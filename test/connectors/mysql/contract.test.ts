/** The MySQL sink against the contract of sinks, on a real MariaDB server. */
import { afterAll, beforeAll, describe } from "vitest";
import { openMysqlSession, sessionTimes } from "../../../src/connectors/mysql/session.ts";
import { mysqlSink } from "../../../src/connectors/mysql/sink.ts";
import { sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { inheritedContract } from "../../contracts/suites/inherited.contract.ts";
import { type FaultPlan, type SinkFixture, sinkContract } from "../../contracts/suites/sink.contract.ts";
import {
  MARIADB_MISSING,
  type MariadbServer,
  mariadbRoot,
  startMariadb,
} from "../../support/servers/databases/mariadb.ts";
import { until } from "../../support/until.ts";

describe.skipIf(typeof mariadbRoot !== "string")(`MariaDB${MARIADB_MISSING}`, () => {
  let server: MariadbServer;
  let databases = 0;

  beforeAll(async () => {
    sessionTimes.lockTimeoutS = 1;
    sessionTimes.idleTimeoutS = 2;
    server = await startMariadb();
  });
  afterAll(() => server?.stop());

  /** Asked in a session of its own: the server may have been away since the last one. */
  async function asked(database: string, statement: string) {
    const session = await openMysqlSession({ ...server.connection, database }, undefined);
    try {
      return (await session.query(statement)).rows;
    } finally {
      session.destroy();
    }
  }

  async function fixture() {
    databases += 1;
    const database = `contract${databases}`;
    await asked("test", `CREATE DATABASE ${database} CHARACTER SET utf8mb4`);
    await asked(
      database,
      "CREATE TABLE output (n bigint AUTO_INCREMENT PRIMARY KEY, line longtext NOT NULL)",
    );
    const sinkOf = (plan?: FaultPlan) =>
      mysqlSink<string>(
        {
          connection: { ...server.connection, database },
          table: "output",
          columns: { line: (line) => line },
          provision: true,
        },
        async (...call) => {
          const real = await openMysqlSession(...call);
          if (plan === undefined) return real;
          return {
            query: (text) => plan.call(() => real.query(text)),
            destroy: () => real.destroy(),
          };
        },
      );
    await sinkOf().check(sinkEnvironment({}));
    return {
      sink: sinkOf(),
      nats: undefined,
      faulty: (plan: FaultPlan) => ({ sink: sinkOf(plan) }),
      committed: async () =>
        (await asked(database, "SELECT line FROM output ORDER BY n")).map(({ line }) => line!),
      loseStaged: ({ staged }, staging) => staging.lose(staged.at(-1)!),
      loseMarkers: async () => void (await asked(database, "DELETE FROM tidemark_marker")),
      // Those who have died in a transaction keep the tables for as long as the server lets them.
      stop: () =>
        until("the database is dropped", async () => {
          await asked("test", `DROP DATABASE IF EXISTS ${database}`);
          return true;
        }).then(() => {}),
    } satisfies SinkFixture;
  }

  const contract = {
    name: "MariaDB",
    runs: 15,
    refused: ["half a pair \ud800"],
    fixture,
    async outage() {
      await server.crash();
      await server.restart();
    },
  };
  sinkContract(contract);
  inheritedContract(contract);
});
