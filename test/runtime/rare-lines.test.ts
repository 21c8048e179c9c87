import { expect, test } from "vitest";
import { RareLines } from "../../src/runtime/rare-lines.ts";
import { ManualClock } from "../support/manual-clock.ts";

test("of lines that come by the thousand ten a minute are said, and the others counted", async () => {
  const said: object[] = [];
  const clock = new ManualClock();
  const quiet = () => {};
  const warn = (fields: object, text: string) => void said.push({ ...fields, text });
  const lines = new RareLines(clock, { debug: quiet, info: quiet, error: quiet, warn });
  for (let nth = 0; nth < 1000; nth++) lines.warn({ nth }, "refused");
  expect(said).toEqual(Array.from({ length: 10 }, (_, nth) => ({ nth, text: "refused" })));
  await clock.pass(60_000);
  lines.warn({ nth: 1000 }, "refused");
  lines.warn({ nth: 1001 }, "refused");
  expect(said.slice(10)).toEqual([
    { nth: 1000, unsaid: 990, text: "refused" },
    { nth: 1001, text: "refused" },
  ]);
});
