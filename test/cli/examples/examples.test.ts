/**
 * The examples run as they stand, by the command that a clone has built. A worker of each is killed on the way, and
 * what they have written is compared with what plain loops find.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ORDERS, orderAt } from "../../../src/examples/enrichment/job.ts";
import { compiled, root } from "../../support/servers/compiled.ts";
import { comesTo } from "../job-status.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { kill } from "../workspace.ts";
import { alarms, liveRooms, paid, sessions } from "./expected.ts";

const shared = new SharedServer("examples");
const main = compiled("src/cli/main.ts");

/** Runs the example to its end. A worker is killed behind the first checkpoint. */
async function runKilled(name: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const file = join(root, "src/examples", name, "job.ts");
  const command = shared.workspace.start(shared.here("run", file), { main, env });
  const ended = command.ended.then((end) => ({ end }));
  const report = comesTo(shared.cluster, name, "a first checkpoint", (now) => now.checkpoints.completed > 0);
  const first = await Promise.race([ended, report.then(({ workers }) => ({ workers }))]);
  if ("end" in first) throw new Error(`ended too soon: ${JSON.stringify(first.end)}`);
  kill(first.workers[0]!.processId);
  const { end } = await ended;
  expect(end.code, end.stderr).toBe(0);
  expect(end.stdout).toMatch(/restart/);
}

const sorted = (values: readonly unknown[]): string[] => values.map((value) => JSON.stringify(value)).sort();
const written = (directory: string): string[] => sorted(shared.workspace.lines(directory));

test("live rooms: unique visitors, views per minute, and what is late", async () => {
  await runKilled("live-rooms");
  const { visitors, views, late } = liveRooms();
  expect(late.length).toBeGreaterThan(10);
  expect(written("visitors")).toEqual(sorted(visitors));
  expect(written("views-per-minute")).toEqual(sorted(views));
  const lateLines = shared.workspace.lines("late") as unknown as { readonly value: unknown }[];
  expect(sorted(lateLines.map(({ value }) => value))).toEqual(sorted(late));
});

test("fraud: each payment is judged by the rule of its time", async () => {
  await runKilled("fraud");
  const expected = alarms() as { readonly rule: number }[];
  expect(new Set(expected.map(({ rule }) => rule)).size).toBeGreaterThan(3);
  expect(written("alarms")).toEqual(sorted(expected));
});

test("orders: sessions of clicks, and orders with the payments of their interval", async () => {
  await runKilled("orders");
  expect(written("sessions")).toEqual(sorted(sessions()));
  expect(paid().length).toBeLessThan(ORDERS);
  expect(written("paid")).toEqual(sorted(paid()));
});

test("enrichment: a service that fails at times is asked again, and each order comes out once", async () => {
  const priceOf = (item: number) => item * 3 + 1;
  let asked = 0;
  const service = createServer((request, response) => {
    response.statusCode = ++asked % 5 === 0 ? 503 : 200;
    const item = Number(request.url?.split("/").at(-1));
    response.end(JSON.stringify({ price: priceOf(item) }));
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = service.address() as AddressInfo;
    await runKilled("enrichment", { PRICES_URL: `http://127.0.0.1:${port}` });
  } finally {
    service.closeAllConnections();
    service.close();
  }
  const expected = Array.from({ length: ORDERS }, (_, id) => orderAt(id));
  const priced = expected.map((order) => ({ ...order, price: priceOf(order.item) }));
  expect(written("priced")).toEqual(sorted(priced));
  expect(asked).toBeGreaterThan(ORDERS);
});
