/**
 * Values that expire, windows whose results change, a coGroup, a versioned join and aligned sources in one job of real
 * processes, of which a worker is killed: all that came out is what the records say.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import {
  DISORDER_MS,
  type Held,
  LIFE_MS,
  type Measured,
  type Output,
  WINDOW_MS,
} from "../../recovery/jobs/measured.ts";
import { TestCluster } from "../../support/servers/cluster.ts";
import { bundled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { publishAll, readAll } from "../../support/servers/streams.ts";
import { GiveUpError, until } from "../../support/until.ts";

const KEYS = 10;
const RECORDS = 800;
const STEP_MS = 500;

/** Out of order by less than the job allows. No two records of a stream have one time. */
function recordsOf(stride: number): Measured[] {
  return Array.from({ length: RECORDS }, (_, n) => ({
    key: `key-${Math.floor((n * stride) / 30) % KEYS}`,
    n,
    at: 1_000_000 + n * STEP_MS - ((n * 5) % 9) * STEP_MS,
  })).map((one) => ({ ...one, at: one.at + (one.n % 9) }));
}

const fast = recordsOf(1);
const slow = recordsOf(7);
const keys = [...new Set(fast.map(({ key }) => key))];
const startOf = (at: number): number => at - (at % WINDOW_MS);
const numbers = (of: readonly Measured[]): number[] => of.map(({ n }) => n);
const ascending = (a: number, b: number): number => a - b;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
let output: readonly Output[];
/** The highest generation in which the fast source was seen to wait, in front of and behind the kill. */
const waited = new Set<number>();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-measured-"));
  server = await startTestServer();
  cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: "measured",
    jobFile: bundled("test/recovery/jobs/measured.ts"),
    slots: 2,
  });
  const { streams } = await cluster.nats.manager();
  for (const [name, records] of [
    ["FAST", fast],
    ["SLOW", slow],
  ] as const) {
    await streams.add({ name, subjects: [`${name.toLowerCase()}.*`] });
    const half = ({ key }: Measured) => keys.indexOf(key) % 2;
    await publishAll(
      cluster.nats,
      records.map((one) => ({ subject: `${name.toLowerCase()}.${half(one)}`, text: JSON.stringify(one) })),
    );
  }
  const workers = ["worker-1", "worker-2"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator");
  await cluster.submit();
  const first = await seenWaiting(0);
  const victim = first.subtasks.find(({ subtask }) => subtask === "live/0")?.worker;
  const { processId } = first.workers.find(({ worker }) => worker === victim)!;
  await workers.find((one) => one.processId === processId)!.kill();
  cluster.start("worker", "worker-3");
  await seenWaiting(first.generation);
  const record = await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  expect(record.generation).toBeGreaterThan(1);
  output = (await readAll(cluster.nats, "OUT"))
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as Output);
});

afterAll(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Waits until a later generation has completed a checkpoint and its fast source waits for the slow one. */
function seenWaiting(after: number): Promise<JobReport> {
  return until(`the fast source waits, in a generation behind ${after}`, async () => {
    const report = await cluster.report();
    if (report?.status === "finished")
      throw new GiveUpError("the job has ended, and the source was not seen to wait");
    if (report === undefined || report.generation <= after || report.checkpoints.completed < 2)
      return undefined;
    const isPaused = (of: string) =>
      report.subtasks.some(
        ({ subtask, paused }) => subtask.startsWith(of) && (paused?.splits.length ?? 0) > 0,
      );
    if (!isPaused("fast/")) return undefined;
    waited.add(report.generation);
    return report;
  });
}

const outputOf = <K extends Output["kind"]>(kind: K) =>
  output.filter((one): one is Extract<Output, { kind: K }> => one.kind === kind);

/** What the windows hold in the end, in a form that tells all. */
function windowsOf(held: Iterable<Held>): string[] {
  return Array.from(
    held,
    ({ key, start, numbers: all }) => `${key} ${start} ${[...all].sort(ascending)}`,
  ).sort();
}

const nameOf = ({ key, at }: Measured): string => `${key} ${startOf(at)}`;
const windows: readonly Held[] = [...new Map(fast.map((one) => [nameOf(one), one])).values()].map((one) => ({
  key: one.key,
  start: startOf(one.at),
  numbers: numbers(fast.filter((other) => nameOf(other) === nameOf(one))),
}));

describe("after the kill", () => {
  test("the input is out of order, and keys have pauses in which their values expire", () => {
    for (const records of [fast, slow]) {
      let latest = 0;
      for (const { at } of records) {
        latest = Math.max(latest, at);
        expect(latest - at).toBeLessThan(DISORDER_MS);
      }
      expect(new Set(records.map(({ at }) => at)).size).toBe(RECORDS);
      expect(records.map(({ at }) => at)).not.toEqual(records.map(({ at }) => at).sort(ascending));
    }
  });

  test("the fast source has waited for the slow one in both generations", () => {
    expect(waited.size).toBe(2);
  });

  test.each(["counted", "continuous"] as const)(
    "results of windows are taken back before others come: %s",
    (kind) => {
      const current = new Map<string, Held>();
      let retracted = 0;
      for (const { change, held } of outputOf(kind)) {
        const window = `${held.key} ${held.start}`;
        if (change === "add") {
          expect(current.has(window)).toBe(false);
          current.set(window, held);
        } else {
          expect(current.get(window)).toEqual(held);
          current.delete(window);
          retracted++;
        }
      }
      expect(windowsOf(current.values())).toEqual(windowsOf(windows));
      expect(retracted).toBeGreaterThan(10);
    },
  );

  test("windows by count have fired at each second record and at their end, in the order of the records", () => {
    const sizes = new Map<string, number[]>();
    for (const { change, held } of outputOf("counted")) {
      if (change === "retract") continue;
      const window = `${held.key} ${held.start}`;
      sizes.set(window, [...(sizes.get(window) ?? []), held.numbers.length]);
    }
    for (const { key, start, numbers: all } of windows) {
      const early = Array.from({ length: Math.floor(all.length / 2) }, (_, i) => 2 * (i + 1));
      expect(sizes.get(`${key} ${start}`)).toEqual(all.length % 2 === 0 ? early : [...early, all.length]);
    }
  });

  test("a coGroup has given each window once, with the records of both sides", () => {
    const grouped = outputOf("grouped");
    const ofBoth = new Set([...fast, ...slow].map(nameOf));
    expect(grouped.map(({ held }) => `${held.key} ${held.start}`).sort()).toEqual([...ofBoth].sort());
    for (const { held, others } of grouped) {
      const inWindow = ({ key, at }: Measured) => key === held.key && startOf(at) === held.start;
      expect([...held.numbers].sort(ascending)).toEqual(numbers(fast.filter(inWindow)));
      expect([...others].sort(ascending)).toEqual(numbers(slow.filter(inWindow)));
    }
  });

  test.each(keys)("each record of %s has met the version of its time, once and in its order", (key) => {
    const versions = slow.filter((one) => one.key === key).sort((a, b) => a.at - b.at);
    const expected = fast
      .filter((one) => one.key === key)
      .sort((a, b) => a.at - b.at)
      .map(({ n, at }) => ({ n, version: versions.findLast((version) => version.at <= at)?.n ?? null }));
    const found = outputOf("versioned").filter((one) => one.key === key);
    expect(found.map(({ n, version }) => ({ n, version }))).toEqual(expected);
  });

  test.each(keys)("values of %s have expired at their time, each once", (key) => {
    const expected: Output[] = [];
    let nth = 0;
    let end = Number.POSITIVE_INFINITY;
    const expire = () => {
      if (nth > 0) expected.push({ kind: "expired", key, nth, at: end });
      nth = 0;
    };
    for (const { n, at } of fast.filter((one) => one.key === key).sort((a, b) => a.at - b.at)) {
      if (end <= at) expire();
      expected.push({ kind: "lived", key, n, nth: ++nth });
      end = at + LIFE_MS;
    }
    expire();
    expect(expected.filter(({ kind }) => kind === "expired").length).toBeGreaterThan(1);
    const found = output.filter((one) => (one.kind === "lived" || one.kind === "expired") && one.key === key);
    expect(found).toEqual(expected);
  });

  test("values have expired by the clock at most once", () => {
    const forgotten = outputOf("forgotten").map(({ key, n }) => `${key} ${n}`);
    expect(forgotten.length).toBeGreaterThan(0);
    expect(new Set(forgotten).size).toBe(forgotten.length);
    const all = new Set(fast.map(({ key, n }) => `${key} ${n}`));
    expect(forgotten.filter((one) => !all.has(one))).toEqual([]);
  });
});
