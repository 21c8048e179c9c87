/** More state than the heap may have: which state it is is said before the process dies of it. */
import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type HeapUse, watchHeap } from "../../../src/cli/process/heap-watch.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { until, Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const GROWING = `import { defineJob, fileSink, generatorSource, listState } from "tidemark";
export default defineJob("growing", { checkpointing: { interval: "1 s" }, restart: { strategy: "none" } }, (job) => {
  job
    .source("numbers", generatorSource({ ratePerSecond: 10_000, generate: (index) => ({ number: index }) }))
    .keyBy((seen) => seen.number)
    .process("remember", {
      state: { texts: listState() },
      onRecord(seen, { state }) {
        state.texts.add(\`\${seen.number} \`.repeat(60));
      },
    })
    .sink("lines", fileSink({ directory: "out" }));
});
`;

test("a worker whose state fills its heap says which states hold how much", async () => {
  workspace.write("job.mjs", GROWING);
  const env = { NODE_OPTIONS: "--max-old-space-size=110" };
  const command = workspace.start(["run", "job.mjs"], { env });
  // The command tells it within seconds, which may be too late; the log of the worker that it names has it at once.
  const log = workspace.path(".tidemark/logs/growing/worker-1.log");
  const said = () =>
    command.stderr + (existsSync(log) ? readFileSync(log, "utf8").replaceAll('\\"', '"') : "");
  await until(
    () => said().includes("the memory of this worker is nearly used up"),
    () => `the worker says it; ${command.stderr}`,
  );
  expect(said()).toMatch(
    /nearly used up: \d+ % of \d+ MiB; state "texts" of operator "remember" holds \d+ rows.*keep state on disk/,
  );
});

test("it is said once, when two looks in a row find it, and again when there was room meanwhile", () => {
  const clock = new ManualClock();
  const told: string[] = [];
  let used = 50;
  const use = (): HeapUse => ({ usedBytes: used * 2 ** 20, limitBytes: 100 * 2 ** 20 });
  const sizes = () => [
    { operator: "count", state: "count", rows: 1000, bytesPerRow: 2 ** 20 / 100 },
    { operator: "count", state: "event timers", rows: 7, bytesPerRow: undefined },
  ];
  watchHeap({ clock, sizes, tell: (message) => told.push(message), calm: () => told.push("calm"), use });
  const looks = (percent: number, times: number): number => {
    used = percent;
    for (let i = 0; i < times; i++) clock.advance(200);
    return told.length;
  };
  expect([looks(84, 3), looks(86, 1), looks(70, 1), looks(86, 1), looks(86, 5)]).toEqual([0, 0, 0, 0, 1]);
  expect([looks(70, 2), looks(90, 3)]).toEqual([1, 1]);
  expect([looks(50, 3), looks(95, 2)]).toEqual([2, 3]);
  expect(told[1]).toBe("calm");
  expect(told[0]).toContain(
    'nearly used up: 86 % of 100 MiB; state "count" of operator "count" holds 1000 rows, 10.0 MiB when stored; ' +
      'state "event timers" of operator "count" holds 7 rows. Give it more',
  );
});
