/** Job files that cannot work: each is told in one message, with its place, before anything is connected. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { countingJob } from "../jobs.ts";
import { Workspace } from "../workspace.ts";
import { type BadCommand, define, isToldInOneMessage, numbers, USAGE } from "./told.ts";

let workspace: Workspace;

beforeAll(async () => {
  workspace = await Workspace.create();
  for (const [name, text] of Object.entries(files)) workspace.write(name, text);
});
afterAll(() => workspace.remove());

const files: Readonly<Record<string, string>> = {
  "good.mjs": countingJob({ count: 10 }),
  "throws.ts": 'const limit: number = 3;\n\nthrow new Error("no database configured");\n',
  "broken.ts": "export default {\n  a: 1,,\n};\n",
  "nothing.mjs": "export const x = 1;\n",
  "number.mjs": "export default 42;\n",
  "named.mjs": define(`${numbers}.sink("s", fileSink({ directory: "d" }));`).replace(
    "export default",
    "export const job =",
  ),
  "text.txt": "not code",
  "twice.mjs": define(
    `${numbers}.map("a", (n) => n).map("a", (n) => n).sink("s", fileSink({ directory: "d" }));`,
  ),
  "bad-option.mjs": define(
    `${numbers}.sink("s", fileSink({ directory: "d" }));`,
    '{ checkpointing: { intervall: "1s" } }',
  ),
  "no-interval.mjs": define(
    'job.source("n", generatorSource({ generate: (i) => i })).sink("s", fileSink({ directory: "d" }));',
  ),
};

const cases: readonly BadCommand[] = [
  {
    title: "a job file that is not there",
    args: () => ["run", "god.mjs"],
    code: USAGE,
    says: ["god.mjs", "did you mean good.mjs?"],
  },
  {
    title: "a job file of another kind",
    args: () => ["run", "text.txt"],
    code: USAGE,
    says: ["text.txt", ".ts, .mts"],
  },
  {
    title: "a directory as job file",
    args: () => ["run", "node_modules"],
    code: USAGE,
    says: ["node_modules: is not a file"],
  },
  {
    title: "a job file that throws",
    args: () => ["run", "throws.ts"],
    code: USAGE,
    says: ["throws.ts:3", "no database configured"],
  },
  {
    title: "a job file that does not parse",
    args: () => ["run", "broken.ts"],
    code: USAGE,
    says: ["broken.ts:2"],
  },
  {
    title: "a job file without a default export",
    args: () => ["run", "nothing.mjs"],
    code: USAGE,
    says: ["must export a job by default", '"x"'],
  },
  {
    title: "a job file that exports something else",
    args: () => ["run", "number.mjs"],
    code: USAGE,
    says: ["its default export is 42"],
  },
  {
    title: "a job under another name",
    args: () => ["run", "named.mjs"],
    code: USAGE,
    says: ['it exports its job as "job"'],
  },
  {
    title: "an operator id twice",
    args: () => ["run", "twice.mjs"],
    code: USAGE,
    says: ["twice.mjs", '"a"'],
  },
  {
    title: "an option of the job misspelt",
    args: () => ["run", "bad-option.mjs"],
    code: USAGE,
    says: ["checkpointing.intervall", 'did you mean "checkpointing.interval"?'],
  },
  {
    title: "an unbounded job without checkpoints",
    args: () => ["run", "no-interval.mjs"],
    code: USAGE,
    says: ["checkpointing.interval"],
  },
];

test.each(cases)("$title", (bad) => isToldInOneMessage(workspace, bad));

test.each([
  ["process.exit(0);", "exits.mjs:2: called process.exit(0) while it was loaded"],
  ["try { process.exit(7); } catch {}", "exits.mjs:2: called process.exit(7) while it was loaded"],
  ["await new Promise(() => {});", "exits.mjs: awaits something at its top level that never comes"],
])("a job file that ends the process or keeps it from going on: %s", async (line, words) => {
  workspace.write("exits.mjs", `\n${line}\n${countingJob({ count: 10 })}`);
  for (const args of [
    ["config", "print", "exits.mjs", "--json"],
    ["run", "exits.mjs"],
  ]) {
    const ended = await workspace.run(args);
    expect(ended).toMatchObject({ code: USAGE, stdout: "" });
    expect(ended.stderr).toMatch(/^tidemark: job file exits\.mjs/m);
    expect(ended.stderr).toContain(words);
  }
});
