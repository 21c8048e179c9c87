/** Two sites with a JetStream of their own, joined by a leaf node that lets only the control subjects through. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Cluster, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { freePort, startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { comesTo } from "../job-status.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

const COUNT = 2000;
const APART = '["$KV.>", "$O.>", "$JS.>"]';
const TWO_CLUSTERS =
  /two clusters use the prefix both\d, and this request has reached the coordinator of the other one, pid \d+ on \S+ .*give one of the two clusters another --prefix/;

let servers: TestServer[];
let sites: Site[];
let prefix: string;
let tests = 0;

class Site {
  readonly server: TestServer;
  readonly workspace: Workspace;
  readonly cluster: Cluster;

  private constructor(server: TestServer, workspace: Workspace, cluster: Cluster) {
    this.server = server;
    this.workspace = workspace;
    this.cluster = cluster;
  }

  static async of(server: TestServer): Promise<Site> {
    const workspace = await Workspace.create();
    workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
    const nats = await connectNats({ servers: server.url, name: "test" });
    return new Site(server, workspace, await openCluster(nats, { prefix }));
  }

  here(...args: string[]): string[] {
    return [...args, "--server", this.server.url, "--prefix", prefix];
  }

  start(...args: string[]) {
    return this.workspace.start(this.here(...args));
  }

  comesTo(what: string, met: (report: JobReport) => boolean): Promise<JobReport> {
    return comesTo(this.cluster, "counting", what, met);
  }

  async close(): Promise<void> {
    await this.workspace.remove();
    await this.cluster.nats.connection.close();
  }
}

beforeAll(async () => {
  const port = await freePort();
  servers = [
    await startTestServer({
      jetStream: "domain: hub",
      configuration: `leafnodes { listen: "127.0.0.1:${port}" }`,
    }),
    await startTestServer({
      jetStream: "domain: leaf",
      configuration: `leafnodes { remotes: [{ url: "nats-leaf://127.0.0.1:${port}", deny_imports: ${APART}, deny_exports: ${APART} }] }`,
    }),
  ];
});
afterAll(async () => {
  for (const server of servers.reverse()) await server.stop();
});
beforeEach(async () => {
  prefix = `both${++tests}`;
  sites = await Promise.all(servers.map((server) => Site.of(server)));
  const [hub, leaf] = sites as [Site, Site];
  await until(
    async () => {
      const seen = new Promise<boolean>((resolve) => {
        hub.cluster.nats.connection.subscribe("joined", { callback: () => resolve(true), max: 1 });
        setTimeout(() => resolve(false), 200);
      });
      await hub.cluster.nats.connection.flush();
      leaf.cluster.nats.connection.publish("joined");
      return await seen;
    },
    () => "the two servers are joined",
  );
});
afterEach(() => Promise.all(sites.map((site) => site.close())));

test("both run the same job under one prefix, each with its own workers, and both tell of the other one", async () => {
  const started = sites.map((site) => ({
    site,
    coordinator: site.start("coordinator"),
    worker: site.start("worker", "job.mjs", "--slots", "2"),
  }));
  const submitted = await Promise.all(
    sites.map((site) => site.workspace.run(site.here("submit", "job.mjs"))),
  );
  for (const one of submitted) expect(one).toMatchObject({ code: 0 });
  for (const { site, coordinator, worker } of started) {
    const { workers } = await site.comesTo(
      "processing",
      ({ phase, checkpoints }) => phase === "running.processing" && checkpoints.completed > 0,
    );
    expect(workers.map(({ processId }) => processId)).toEqual([worker.child.pid]);
    await coordinator.says(TWO_CLUSTERS);
  }
  for (const { site } of started) site.workspace.release();
  for (const { site } of started) {
    const ended = await site.comesTo("its end", ({ status }) => status === "finished");
    expect(ended).toMatchObject({ failures: [], restarts: 0 });
    expect(wrongCounts(site.workspace.lines(), COUNT)).toEqual([]);
  }
});

test("a site without a coordinator is told whose has answered, and nothing happens to the other site's job", async () => {
  const [hub, leaf] = sites as [Site, Site];
  const coordinator = hub.start("coordinator");
  await coordinator.says(/"leading"/);
  const worker = leaf.start("worker", "job.mjs", "--slots", "2");
  await worker.says(TWO_CLUSTERS);
  const submitted = await leaf.workspace.run(leaf.here("submit", "job.mjs", "--connect-timeout", "5"));
  expect(submitted).toMatchObject({ code: 3, stdout: "" });
  expect(submitted.stderr).toMatch(TWO_CLUSTERS);
  // Its own coordinator comes, and all goes on.
  leaf.start("coordinator");
  expect(await leaf.workspace.run(leaf.here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  leaf.workspace.release();
  await leaf.comesTo("its end", ({ status }) => status === "finished");
  expect(wrongCounts(leaf.workspace.lines(), COUNT)).toEqual([]);
});
