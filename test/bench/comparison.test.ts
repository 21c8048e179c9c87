import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { type Probe, type Row, rowsOf } from "./comparison/probe.ts";
import { comparisonAsJson, describeComparison, exitCodeOf } from "./comparison/report.ts";
import { type ComparedRow, compare, type Sides } from "./comparison/rounds.ts";
import { variantEnvironment } from "./jobs/variant.ts";
import { openCopy, rootOfCopy } from "./processes/copy.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tidemark-copies-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the other copy", () => {
  function copyWith(name: string, ...files: string[]): string {
    const root = join(folder, name);
    mkdirSync(root);
    for (const file of files) {
      mkdirSync(join(root, file, ".."), { recursive: true });
      if (file === "package.json") cpSync(join(ROOT, file), join(root, file));
      else if (file.includes(".")) writeFileSync(join(root, file), "");
      else mkdirSync(join(root, file), { recursive: true });
    }
    return root;
  }

  const built = ["package.json", "node_modules", "dist/src/cli/main.js", "dist/machines"];
  const refusal = (directory: string) => () => rootOfCopy(directory);

  test("is found when it is built, also by a link", () => {
    const root = copyWith("built", ...built);
    symlinkSync(root, join(folder, "link"));
    expect(rootOfCopy(join(folder, "link"))).toBe(rootOfCopy(root));
  });

  test.each<[string, string[], string]>([
    ["of-something-else", [], "its package.json is not that of this project; name the root of"],
    ["not-installed", ["package.json"], "its packages are not installed; run npm ci && npm run build there"],
    [
      "not-built",
      ["package.json", "node_modules"],
      "it is not built (dist/src/cli/main.js is missing); run npm run build there",
    ],
    [
      "half-built",
      ["package.json", "node_modules", "dist/src/cli/main.js"],
      "it is not built (dist/machines is missing); run npm run build there",
    ],
  ])("%s is refused", (name, files, message) => {
    const root = copyWith(name, ...files);
    expect(refusal(root)).toThrow(`--against ${root}: ${message}`);
  });

  test("runs this bench's job with its own engine, and stays as it was", () => {
    const root = copyWith("runnable", "package.json");
    symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
    for (const part of ["src", "machines"])
      cpSync(join(ROOT, "dist", part), join(root, "dist", part), { recursive: true });
    const copy = openCopy(root, folder);
    const script = `
      const { default: job } = await import(${JSON.stringify(copy.job)});
      const { Job } = await import(${JSON.stringify(join(root, "dist/src/job/job.js"))});
      console.log(job instanceof Job, job.name);`;
    const input = { kind: "generator", count: 10, keys: 10 } as const;
    const said = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
      env: {
        ...process.env,
        ...variantEnvironment({ name: "tried", input, sink: "discard", parallelism: 1 }),
      },
      encoding: "utf8",
    });
    expect(said.trim()).toBe("true tried");
    expect(existsSync(join(root, "dist/test"))).toBe(false);
  });

  test("must exist, and be another one", () => {
    expect(refusal(join(folder, "nowhere"))).toThrow(
      `there is no directory ${join(folder, "nowhere")}; name`,
    );
    symlinkSync(ROOT, join(folder, "self"));
    expect(refusal(join(folder, "self"))).toThrow(
      "this is the copy that the bench runs from; name another one",
    );
  });
});

describe("rounds", () => {
  const side = (root: string) => ({ copy: { root } });
  const sides = { own: side("/own"), other: side("/other") } as unknown as Sides;
  const settings = { records: 1, streamRecords: 2, rounds: 2, roundsMax: 5, say: () => {} };

  /** Gives out these numbers, run after run of one copy; notes which copy ran. */
  function probe(name: string, own: number[], other: number[], runs: string[] = []): Probe {
    const left: Record<string, number[]> = { "/own": [...own], "/other": [...other] };
    return {
      name,
      measure: async ({ copy: { root } }) => {
        runs.push(`${name} ${root}`);
        const value = left[root]!.shift();
        if (value === undefined) throw new Error("it is out of numbers");
        return { [name]: value };
      },
    };
  }

  const rowsFor = (name: string) => rowsOf([{ name, better: "higher" }], name);
  const verdicts = (rows: readonly ComparedRow[]) =>
    rows.map(({ name, pairs, judgement }) => [name, pairs.length, judgement.verdict]);

  test("each probe is run by both copies in a row, and the copy that comes first alternates", async () => {
    const runs: string[] = [];
    const probes = [probe("a", [1, 1], [1, 1], runs), probe("b", [2, 2], [2, 2], runs)];
    const rows = await compare(sides, { probes, rows: [...rowsFor("a"), ...rowsFor("b")] }, settings);
    expect(runs).toEqual([
      "a /own",
      "a /other",
      "b /own",
      "b /other",
      "a /other",
      "a /own",
      "b /other",
      "b /own",
    ]);
    expect(verdicts(rows)).toEqual([
      ["a", 2, "ok"],
      ["b", 2, "ok"],
    ]);
    expect(exitCodeOf(rows)).toBe(0);
  });

  test("only what is unresolved goes on, until it is resolved or the bound is reached", async () => {
    const probes = [
      probe("steady", [1, 1], [2, 2]),
      probe("settles", [8, 12, 10, 10, 10], [10, 10, 10, 10, 10]),
      probe("restless", [8, 12, 8, 12, 8], [10, 10, 10, 10, 10]),
    ];
    const rows = await compare(
      sides,
      { probes, rows: ["steady", "settles", "restless"].flatMap(rowsFor) },
      settings,
    );
    const [steady, settles, restless] = verdicts(rows);
    expect(steady).toEqual(["steady", 2, "worse"]);
    expect(settles![1]).toBeGreaterThan(2);
    expect(restless).toEqual(["restless", 5, "unresolved"]);
    expect(exitCodeOf(rows)).toBe(1);
    expect(exitCodeOf(rows.filter(({ name }) => name !== "steady"))).toBe(3);
    const at = { own: "/own", other: "/other", roundsMax: 5 };
    expect(describeComparison(rows, at)).toMatch(
      /worse: steady\nunresolved after at most 5 rounds: .*restless/,
    );
    expect(comparisonAsJson(rows, at)).toMatchObject({
      own: "/own",
      worse: ["steady"],
      figures: { steady: { ratio: 0.5, low: 0.5, high: 0.5, verdict: "worse", own: { samples: [1, 1] } } },
    });
  });

  test("a row of two probes has the rounds that both have, and information is not judged", async () => {
    const ratio: Row = {
      name: "a.ratio",
      better: "higher",
      judged: false,
      probes: ["a", "b"],
      value: (reading) => reading.a! / reading.b!,
    };
    const probes = [probe("a", [1, 1], [2, 2]), probe("b", [1, 1], [1, 1])];
    const rows = await compare(sides, { probes, rows: [ratio] }, settings);
    expect(rows[0]!.judgement.ratio).toBe(0.5);
    expect(exitCodeOf(rows)).toBe(0);
  });

  test("a copy that cannot run a probe at all is named, with what can be done", async () => {
    const comparable = { probes: [probe("a", [1, 1], [])], rows: rowsFor("a") };
    await expect(compare(sides, comparable, settings)).rejects.toThrow(
      '/other cannot run "a": it is out of numbers; leave out what needs it by naming the others with --figures',
    );
  });

  test("a number that is none is no reading", async () => {
    const comparable = { probes: [probe("a", [1], [Number.NaN])], rows: rowsFor("a") };
    await expect(compare(sides, comparable, settings)).rejects.toThrow('/other cannot run "a": a is NaN');
  });

  test("what fails later keeps its rounds, and is not called ok", async () => {
    const comparable = { probes: [probe("a", [1, 1], [1])], rows: rowsFor("a") };
    const rows = await compare(sides, comparable, settings);
    expect(rows[0]).toMatchObject({
      pairs: [[1, 1]],
      failure: expect.stringContaining("it is out of numbers"),
    });
    expect(exitCodeOf(rows)).toBe(3);
    const at = { own: "/own", other: "/other", roundsMax: 5 };
    expect(comparisonAsJson(rows, at)).toMatchObject({ unresolved: ["a"] });
  });
});
