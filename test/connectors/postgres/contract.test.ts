/** The PostgreSQL sink against the contract of sinks, on a real server. */
import { afterAll, beforeAll, describe } from "vitest";
import { openPostgresSession } from "../../../src/connectors/postgres/session.ts";
import { postgresSink } from "../../../src/connectors/postgres/sink.ts";
import { sessionTimes } from "../../../src/connectors/postgres/target.ts";
import { sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { inheritedContract } from "../../contracts/suites/inherited.contract.ts";
import { type FaultPlan, type SinkFixture, sinkContract } from "../../contracts/suites/sink.contract.ts";
import {
  hasPostgres,
  POSTGRES_MISSING,
  type PostgresServer,
  startPostgres,
} from "../../support/servers/databases/postgres.ts";

describe.skipIf(!hasPostgres)(`PostgreSQL${hasPostgres ? "" : ` (${POSTGRES_MISSING})`}`, () => {
  let server: PostgresServer;
  let databases = 0;

  beforeAll(async () => {
    sessionTimes.lockTimeoutMs = 200;
    sessionTimes.idleTimeoutMs = 500;
    server = await startPostgres();
  });
  afterAll(() => server?.stop());

  async function fixture() {
    databases += 1;
    const name = `contract${databases}`;
    const connection = server.urlOf("postgres", name);
    await asked(server.url, `CREATE DATABASE ${name}`);
    await asked(connection, "CREATE TABLE output (n bigserial, line text NOT NULL)");
    const sinkOf = (plan?: FaultPlan) =>
      postgresSink<string>(
        { connection, table: "output", columns: { line: (line) => line }, provision: true },
        async (...call) => {
          const real = await openPostgresSession(...call);
          if (plan === undefined) return real;
          return {
            query: (...query) => plan.call(() => real.query(...query)),
            copy: (...copy) => plan.call(() => real.copy(...copy)),
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
        (await asked(connection, "SELECT line FROM output ORDER BY n")).map(({ line }) => line!),
      loseStaged: ({ staged }, staging) => staging.lose(staged.at(-1)!),
      loseMarkers: async () => void (await asked(connection, "DELETE FROM tidemark_marker")),
      stop: async () => void (await asked(server.url, `DROP DATABASE ${name} WITH (FORCE)`)),
    } satisfies SinkFixture;
  }

  const contract = {
    name: "PostgreSQL",
    runs: 25,
    refused: ["half a pair \ud800", "NUL \0 inside"],
    fixture,
    async outage() {
      await server.crash();
      await server.restart();
    },
  };
  sinkContract(contract);
  inheritedContract(contract);
});

/** Asked in a session of its own: the server may have been away since the last one. */
async function asked(connection: string, statement: string) {
  const session = await openPostgresSession(connection);
  try {
    return (await session.query(statement)).rows;
  } finally {
    session.destroy();
  }
}
