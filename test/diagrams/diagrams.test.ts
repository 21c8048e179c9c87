/** The committed drawings are those of the machines as they are. When they are not: `npm run diagrams`. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { roundMachine } from "../model/checker/toy.ts";
import { describeMachine } from "./describe.ts";
import { drawAll } from "./draw.ts";
import { toMermaid } from "./mermaid.ts";
import { activeIds, toSvg } from "./svg.ts";

const fresh = await drawAll();

describe("committed drawings are fresh", () => {
  test.each([...fresh.keys()])("%s", (file) => {
    const committed = existsSync(file) ? readFileSync(file, "utf8") : "";
    expect(committed === fresh.get(file), "stale: run `npm run diagrams`").toBe(true);
  });
});

test("drawing is deterministic", async () => {
  expect(await drawAll()).toEqual(fresh);
});

test("every state of a machine's value has its box", async () => {
  const svg = await toSvg([describeMachine(roundMachine)]);
  for (const id of activeIds("collecting", "round")) expect(svg).toContain(`data-id="${id}"`);
});

test("a drawing in parts shows every state once, and says where a transition goes that has no arrow", () => {
  const job = fresh.get("machines/diagrams/job.svg")!;
  const boxes = [...job.matchAll(/data-id="(job\.[^"]+)"/g)].map(([, id]) => id);
  expect(boxes.length).toBeGreaterThan(20);
  expect(new Set(boxes).size).toBe(boxes.length);
  expect(job).toContain("recovery.impossible → unsettled");
});

test("Mermaid tells events, guards and effects", () => {
  expect(toMermaid(describeMachine(roundMachine))).toMatchInlineSnapshot(`
    "stateDiagram-v2
      direction TB
      [*] --> round_collecting
      state "collecting" as round_collecting
      round_collecting : entry / send.prepare
      round_collecting : entry / timer.start
      round_collecting : vote.received
      state "completed" as round_completed
      round_completed : entry / tell.coordinator
      state "aborted" as round_aborted
      round_aborted : entry / tell.coordinator
      round_collecting --> round_aborted : timer.fired
      round_collecting --> round_completed : [allPrepared]
      round_completed --> [*]
      round_aborted --> [*]
    "
  `);
});
