import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const file = "test/readme/jobs/my-job.ts";

test("the README's job is a file that compiles", () => {
  const shown = /```ts\n([\s\S]*?)```/.exec(readFileSync("README.md", "utf8"))?.[1];
  expect(shown).toBe(readFileSync(file, "utf8"));
});

test("and a job that loads, by the name of the package", async () => {
  const script = `import { loadJob } from "tidemark"; console.log((await loadJob("${file}")).name);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  expect(stdout.trim()).toBe("word-count");
});
