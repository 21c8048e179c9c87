/**
 * What the tests of one file share: a server. Each of them has a workspace, a prefix of its own on that server, and a
 * look at what lies there.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { inTime } from "../../support/until.ts";
import { type Command, type Ended, until, Workspace } from "../workspace.ts";

export class SharedServer {
  server!: TestServer;
  workspace!: Workspace;
  cluster!: Cluster;
  prefix = "";
  #tests = 0;

  /** A server for the tests of the file that is being loaded. */
  constructor(name: string) {
    beforeAll(async () => {
      this.server = await inTime("starting a nats-server", startTestServer());
    });
    afterAll(() => this.server.stop());
    beforeEach(async () => {
      this.prefix = `${name}${++this.#tests}`;
      const nats = await inTime("connecting", connectNats({ servers: this.server.url, name: "test" }));
      this.cluster = await inTime("making the buckets", openCluster(nats, { prefix: this.prefix }));
      this.workspace = await inTime("making a workspace", Workspace.create());
    });
    afterEach(async () => {
      await inTime("removing the workspace", this.workspace.remove());
      await inTime("closing the connection", this.cluster.nats.connection.close());
    });
  }

  /** A command's arguments, and where it finds the server and its part of it. */
  here = (...args: string[]): string[] => [...args, "--server", this.server.url, "--prefix", this.prefix];

  asks = (...args: string[]): Promise<Ended> => this.workspace.run(this.here(...args));

  /** The job's report, once it is as wanted. */
  jobComesTo = async (
    job: string,
    isThere: (report: JobReport) => boolean,
    what: string,
  ): Promise<JobReport> => {
    let last: JobReport | undefined;
    await until(
      async () => {
        last = await createClient(this.cluster).status(job);
        return last !== undefined && isThere(last);
      },
      () => `${what}; at last ${JSON.stringify(last)}`,
    );
    return last!;
  };

  /** The answer of a command that succeeds and complains of nothing. */
  json = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await this.asks(...args, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout) as Record<string, unknown>;
  };
}

/** The job runs, and has completed a checkpoint or two. */
export const hasCompleted = (now: JobReport): boolean =>
  now.phase.startsWith("running") && now.checkpoints.completed > 1;

/** Ends a command as its user would. */
export async function stop(command: Command): Promise<void> {
  command.kill("SIGTERM");
  expect(await command.ended).toMatchObject({ code: 0 });
}
