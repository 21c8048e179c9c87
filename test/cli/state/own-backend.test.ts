/** Keyed state in a backend of the user's own, as a module that workers load. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { countingJob, wrongCounts } from "../jobs.ts";
import { Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const OWN = `import { writeFileSync } from "node:fs";
import { HeapBackend } from "tidemark";
export default (options) => {
  writeFileSync(new URL("opened", import.meta.url), options.operator);
  return new HeapBackend(options);
};
`;

test("a job counts in a backend of its user's own", async () => {
  workspace.write("own.mjs", OWN);
  workspace.write("job.mjs", countingJob({ count: 2_000, options: 'state: { backend: "./own.mjs" }' }));
  const { code, stderr } = await workspace.run(["run", "job.mjs"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(wrongCounts(workspace.lines(), 2_000)).toEqual([]);
  expect(workspace.read("opened")).toBe("count");
});

test.each([
  ["export const open = 1;", /own\.mjs: must export a function by default .* it has no default export/],
  ["export default 7;", /own\.mjs: must export a function by default .* its default export is 7/],
  [undefined, /state\.backend: module .*own\.mjs: no such file/],
])("a worker refuses a module that opens none: %s", async (text, message) => {
  workspace.write("job.mjs", countingJob({ count: 10 }));
  if (text !== undefined) workspace.write("own.mjs", text);
  const { code, stderr } = await workspace.run([
    ...["worker", "job.mjs", "--server", "nats://127.0.0.1:1"],
    ...["--config", "state.backend=./own.mjs"],
  ]);
  expect(stderr).toMatch(message);
  expect(code).toBe(2);
});
