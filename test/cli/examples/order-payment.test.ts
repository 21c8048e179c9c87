/**
 * The example of a user's state machine runs as it stands, in the folder of a user who has installed the package and
 * XState. A worker is killed on the way, and what it has written is compared with what a plain loop finds.
 */
import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EVENTS, eventAt, type OrderEvent, type Outcome } from "../../../src/examples/order-payment/job.ts";
import { root } from "../../support/servers/compiled.ts";
import { comesTo } from "../job-status.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { kill } from "../workspace.ts";

const shared = new SharedServer("order-payment");
const DUE_MS = 30 * 60_000;

/** Order by order: what each event means, in the order of their times. */
function expected(): { outcomes: Outcome[]; refused: OrderEvent[] } {
  const outcomes: Outcome[] = [];
  const refused: OrderEvent[] = [];
  const byOrder = new Map<string, OrderEvent[]>();
  for (const event of Array.from({ length: EVENTS }, (_, index) => eventAt(index))) {
    const known = byOrder.get(event.order) ?? [];
    known.push(event);
    byOrder.set(event.order, known);
  }
  for (const [order, events] of byOrder) {
    const [first, ...later] = events.sort((a, b) => a.at - b.at);
    if (first?.type !== "PLACED") {
      refused.push(...events);
      continue;
    }
    const dueAt = first.at + DUE_MS;
    let paid = 0;
    let end: Outcome["type"] | undefined;
    const ends = (type: Outcome["type"], at: number) => {
      end = type;
      outcomes.push({ type, order, at, amount: paid });
    };
    for (const event of later) {
      if (end === undefined && event.at >= dueAt) ends("expired", dueAt);
      if (end === "paid" || event.type === "PLACED") refused.push(event);
      else if (event.type === "CANCELED" && end === undefined) ends("canceled", event.at);
      else if (event.type === "CANCELED") refused.push(event);
      else if (end !== undefined)
        outcomes.push({ type: "refunded", order, at: event.at, amount: event.amount });
      else {
        paid += event.amount;
        if (paid >= first.price) ends("paid", event.at);
      }
    }
    if (end === undefined) ends("expired", dueAt);
  }
  return { outcomes, refused };
}

const sorted = (values: readonly object[]): string[] =>
  values.map((value) => JSON.stringify(Object.entries(value).sort())).sort();

test("an order is paid, canceled or expires within 30 minutes, once each, although a worker is lost", async () => {
  const { workspace } = shared;
  symlinkSync(join(root, "node_modules/xstate"), workspace.path("node_modules/xstate"));
  cpSync(join(root, "src/examples/order-payment"), workspace.path("order-payment"), { recursive: true });
  const command = workspace.start(shared.here("run", "order-payment/job.ts", "--json"));
  const { workers } = await comesTo(
    shared.cluster,
    "order-payment",
    "a first checkpoint",
    (now) => now.checkpoints.completed > 0,
  );
  kill(workers[0]!.processId);
  const { code, stderr, stdout } = await command.ended;
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout.trim().split("\n").at(-1)!).restarts).toBeGreaterThan(0);
  const { outcomes, refused } = expected();
  for (const type of ["paid", "canceled", "expired", "refunded"] as const)
    expect(outcomes.filter((outcome) => outcome.type === type).length, type).toBeGreaterThan(10);
  const written = (directory: string) =>
    workspace.lines(directory) as unknown as { readonly event: object }[];
  expect(sorted(written("outcomes"))).toEqual(sorted(outcomes));
  expect(sorted(written("refused").map(({ event }) => event))).toEqual(sorted(refused));
});
