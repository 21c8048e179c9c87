/** Requests to an HTTP service that fails now and then, from workers of which one is killed. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Order, PricedOrder } from "../../recovery/jobs/enriched.ts";
import { TestCluster } from "../../support/servers/cluster.ts";
import { bundled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { publishAll, readAll } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";

const ORDERS = 1200;
const USERS = 30;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
let service: Server;
/** What the service was asked: for each order the ids of its requests. */
const asked = new Map<number, Set<string>>();

const orders: readonly Order[] = Array.from({ length: ORDERS }, (_, n) => ({ user: `u${n % USERS}`, n }));
const priceOf = (n: number): number => n * 3 + 1;

/** Every seventh request fails, and some take longer than those behind them. */
function startService(): Server {
  let requests = 0;
  return createServer((request, response) => {
    const turn = ++requests;
    const n = Number(request.url!.split("/").at(-1));
    const ids = asked.get(n) ?? new Set();
    asked.set(n, ids.add(String(request.headers["idempotency-key"])));
    const answer = () => {
      if (turn % 7 === 0) response.writeHead(503).end();
      else response.end(String(priceOf(n)));
    };
    if (turn % 5 === 0) setTimeout(answer, 20);
    else answer();
  }).listen(0, "127.0.0.1");
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-requests-"));
  service = startService();
  await once(service, "listening");
  server = await startTestServer();
  cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: "prices",
    jobFile: bundled("test/recovery/jobs/enriched.ts"),
    environment: { PRICE_SERVICE: `http://127.0.0.1:${(service.address() as AddressInfo).port}` },
  });
  const manager = await cluster.nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  await publishAll(
    cluster.nats,
    orders.map((order) => ({ subject: `in.${(order.n % USERS) % 2}`, text: JSON.stringify(order) })),
  );
});

afterEach(async () => {
  await cluster?.close();
  await server?.stop();
  service.closeAllConnections();
  service.close();
  rmSync(directory, { recursive: true, force: true });
});

test("each order is priced once and in its user's order, and asked for under one id, with a worker killed", async () => {
  const workers = ["worker-1", "worker-2", "worker-3"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator");
  await cluster.submit();
  const report = await until("some checkpoints are complete", async () => {
    const found = await cluster.report();
    return (found?.checkpoints.completed ?? 0) > 1 ? found : undefined;
  });
  const subtask = report.subtasks.find((one) => one.subtask === "price/0");
  const { processId } = report.workers.find(({ worker }) => worker === subtask?.worker)!;
  await workers.find((one) => one.processId === processId)!.kill();
  const record = await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  expect(record.generation).toBeGreaterThan(1);
  const priced = (await readAll(cluster.nats, "OUT"))
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as PricedOrder);
  const byUser = (all: readonly Order[]) =>
    Array.from({ length: USERS }, (_, at) => all.filter(({ user }) => user === `u${at}`));
  expect(byUser(priced)).toEqual(byUser(orders.map((order) => ({ ...order, price: priceOf(order.n) }))));
  expect([...asked.values()].filter((ids) => ids.size !== 1)).toEqual([]);
  expect(new Set([...asked.values()].flatMap((ids) => [...ids])).size).toBe(ORDERS);
  // Requests that were under way at the kill, or behind the last checkpoint, were made again.
  expect(record.failures.length).toBeGreaterThan(0);
});
