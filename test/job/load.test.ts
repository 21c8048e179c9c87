/**
 * Job files are loaded as in production: a compiled copy of this package runs in a plain node process, and the job file
 * finds "tidemark" in node_modules. Inside vitest the classes would be others than the job file's.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadJob } from "../../src/job/code/load.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
let directory: string;
let project: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-load-"));
  project = join(directory, "project");
  await mkdir(join(project, "node_modules"), { recursive: true });
  await makePackage(join(directory, "package"));
  await makePackage(join(directory, "other-copy"));
  await symlink(join(directory, "package"), join(project, "node_modules", "tidemark"));
  await writeFile(
    join(directory, "package", "load.mjs"),
    `import { loadJob } from "./dist/src/job/code/load.js";
     import { Job } from "./dist/src/job/job.js";
     try {
       const job = await loadJob(process.argv[2]);
       const { name, operators } = job;
       console.log(JSON.stringify({ job: job instanceof Job, name, operators: operators.map((o) => o.definition.id) }));
     } catch (error) {
       const { name, key, message, cause } = error;
       console.log(JSON.stringify({ error: name, key, message, cause: cause?.message }));
     }`,
  );
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** What npm would install, with an index of only what these tests need. */
async function makePackage(at: string): Promise<void> {
  await mkdir(at, { recursive: true });
  await symlink(join(root, "node_modules"), join(at, "node_modules"));
  const exports = { ".": { types: "./dist/src/index.d.ts", default: "./dist/src/index.js" } };
  await writeFile(join(at, "package.json"), JSON.stringify({ name: "tidemark", type: "module", exports }));
  await writeFile(
    join(at, "tsconfig.json"),
    JSON.stringify({
      extends: join(root, "tsconfig.base.json"),
      compilerOptions: {
        composite: false,
        declaration: false,
        noCheck: true,
        rootDir: root,
        outDir: join(at, "dist"),
        types: ["node"],
        typeRoots: [join(root, "node_modules/@types")],
      },
      files: [join(root, "src/job/code/load.ts"), join(root, "src/job/builder.ts")],
    }),
  );
  await run(join(root, "node_modules/.bin/tsc"), ["-p", at]);
  await writeFile(join(at, "dist/src/index.js"), `export { defineJob } from "./job/builder.js";\n`);
}

async function load(file: string, content: string): Promise<Record<string, unknown>> {
  await writeFile(join(project, file), content);
  return await loadOnly(file);
}

async function loadOnly(file: string): Promise<Record<string, unknown>> {
  const { stdout } = await run(process.execPath, [join(directory, "package", "load.mjs"), file], {
    cwd: project,
  });
  return JSON.parse(stdout);
}

const build = `(job) => job.source("in", source).sink("out", sink)`;
const connectors = `
const source = { kind: "test", bounded: true, replayable: true, discover() {}, open() {} };
const sink = { kind: "test", guarantee: "at-least-once", check() {}, open() {} };
`;

describe("a job file", () => {
  const loaded = { job: true, name: "loaded", operators: ["in", "out"] };

  test("in TypeScript, with types, an enum and a module of its own beside it", async () => {
    await writeFile(join(project, "names.ts"), `export enum Name { Job = "loaded" }\n`);
    const content = `
      import { defineJob } from "tidemark";
      import { Name } from "./names.ts";
      ${connectors.replaceAll(" = {", ": any = {")}
      export default defineJob(Name.Job as string, {}, ${build.replace("(job)", "(job: any)")});
    `;
    expect(await load("typed.ts", content)).toEqual(loaded);
    expect(await load("typed.mts", content)).toEqual(loaded);
  });

  test("in TypeScript, with the path aliases of the nearest tsconfig.json and of what that extends", async () => {
    await mkdir(join(project, "aliased/jobs"), { recursive: true });
    await mkdir(join(project, "aliased/library"), { recursive: true });
    const at = (name: string) => join(project, "aliased", name);
    await writeFile(
      at("base.json"),
      `{ // comments are allowed there
        "compilerOptions": { "paths": { "@library/*": ["./library/*"], "#name": ["./library/name.ts"] } },
      }`,
    );
    await writeFile(at("tsconfig.json"), `{ "extends": "./base.json" }`);
    await writeFile(at("library/name.ts"), `export const name: string = "loaded";\n`);
    await writeFile(at("library/again.ts"), `export { name as again } from "#name";\n`);
    const content = `
      import { defineJob } from "tidemark";
      import { again } from "@library/again";
      import { name } from "#name";
      ${connectors.replaceAll(" = {", ": any = {")}
      if (again !== name) throw new Error("two modules");
      export default defineJob(name, {}, ${build.replace("(job)", "(job: any)")});
    `;
    expect(await load("aliased/jobs/job.ts", content)).toEqual(loaded);
  });

  test("in TypeScript, under a tsconfig.json that extends what is not installed", async () => {
    await mkdir(join(project, "extending"), { recursive: true });
    await writeFile(join(project, "extending/tsconfig.json"), `{ "extends": "@absent/tsconfig" }`);
    const content = (imported: string) => `
      import { defineJob } from "tidemark"; ${imported}
      ${connectors.replaceAll(" = {", ": any = {")}
      export default defineJob("loaded", {}, ${build.replace("(job)", "(job: any)")});
    `;
    expect(await load("extending/plain.ts", content(""))).toEqual(loaded);
    const found = await load("extending/aliased.ts", content(`import "@library/a";`));
    expect(found.message).toMatch(/Cannot find .*@library.*tsconfig\.json cannot be read: .*@absent/s);
  });

  test.each([
    [
      "mjs",
      `import { defineJob } from "tidemark"; ${connectors} export default defineJob("loaded", {}, ${build});`,
    ],
    [
      "cjs",
      `${connectors} module.exports = import("tidemark").then(({ defineJob }) => defineJob("loaded", {}, ${build}));`,
    ],
  ])("in JavaScript (.%s)", async (extension, content) => {
    const found = await load(`plain.${extension}`, content);
    if (extension === "mjs") expect(found).toEqual(loaded);
    else expect(found.message).toContain("its default export is a promise");
  });

  test("in CommonJS: its own code is strict, so that what it assigns to a frozen value is no silent loss", async () => {
    const isStrict = "(function () { return this === undefined; })()";
    await mkdir(join(project, "node_modules", "loose"), { recursive: true });
    await writeFile(join(project, "node_modules", "loose", "index.js"), `module.exports = ${isStrict};`);
    await writeFile(join(project, "helper.cjs"), `#!/usr/bin/env node\nmodule.exports = ${isStrict};`);
    const found = await load(
      "common.cjs",
      `const { defineJob } = require("tidemark"); ${connectors}
       const strict = { own: ${isStrict}, helper: require("./helper.cjs"), package: require("loose") };
       const name = Object.keys(strict).filter((from) => strict[from]).join("-");
       module.exports = defineJob(name, {}, ${build});`,
    );
    expect(found).toEqual({ ...loaded, name: "own-helper" });
  });

  test("loaded from an absolute path", async () => {
    await load(
      "absolute.mjs",
      `import { defineJob } from "tidemark"; ${connectors} export default defineJob("loaded", {}, ${build});`,
    );
    expect(await loadOnly(join(project, "absolute.mjs"))).toEqual(loaded);
  });
});

describe("refused", () => {
  test("a file that throws: with place and cause", async () => {
    const content = `import { defineJob } from "tidemark";\nconst a: number = 1;\n\n  throw new Error("boom " + a);\n`;
    expect(await load("throws.ts", content)).toEqual({
      error: "ConfigurationError",
      key: "throws.ts",
      message: "job file throws.ts:4: boom 1",
      cause: "boom 1",
    });
    expect(await load("throws.mjs", `\nthrow new TypeError("boom");\n`)).toMatchObject({
      message: "job file throws.mjs:2: boom",
      cause: "boom",
    });
  });

  test("a module beside the job file that throws: the place is there", async () => {
    await writeFile(join(project, "broken.ts"), `\n\nexport const a = (undefined as any).b;\n`);
    const found = await load("imports.ts", `import { a } from "./broken.ts";\nexport default a;\n`);
    expect(found.message).toMatch(/^job file broken\.ts:3: Cannot read properties of undefined/);
  });

  test("text that does not parse", async () => {
    const found = await load("syntax.ts", `\nexport default f(1;\n`);
    expect(found.message).toMatch(/^job file syntax\.ts:2: .*Unexpected token/s);
    expect((await load("syntax.mjs", `\nexport default f(1;\n`)).message).toMatch(
      /^job file syntax\.mjs:2: missing \) after argument list/,
    );
  });

  test("a job that cannot work: keeps the operator as key, and says where it is defined", async () => {
    const found = await load(
      "twice.ts",
      `import { defineJob } from "tidemark";${connectors}
export default defineJob("twice", {}, (job) => {
  job.source("a", source).sink("a", sink);
});
`,
    );
    expect(found).toMatchObject({ error: "ConfigurationError", key: "a" });
    expect(found.message).toMatch(/^job file twice\.ts:6: operator "a": used twice in job "twice"/);
  });

  test.each([
    ["", "it exports nothing"],
    ["export const a = 1, b = 2;", 'it exports only "a", "b"'],
    ["export default () => {};", "its default export is a function"],
    ["export default undefined;", "its default export is undefined"],
    [
      `import { defineJob } from "tidemark"; ${connectors} export const job = defineJob("a", {}, ${build});`,
      'it exports its job as "job"',
    ],
  ])("a file that exports no job: %j", async (content, found) => {
    const { message, key } = await load("not-a-job.mjs", content);
    expect(key).toBe("not-a-job.mjs");
    expect(message).toBe(`job file not-a-job.mjs: must export a job by default, but ${found}. What is needed:

  import { defineJob } from "tidemark";
  export default defineJob("my-job", {}, (job) => { ... });`);
  });

  test("a job that another copy of this package made", async () => {
    await mkdir(join(project, "apart/node_modules"), { recursive: true });
    await symlink(join(directory, "other-copy"), join(project, "apart/node_modules/tidemark"));
    const found = await load(
      "apart/job.mjs",
      `import { defineJob } from "tidemark"; ${connectors} export default defineJob("a", {}, ${build});`,
    );
    expect(found.message).toContain("made by another copy of tidemark");
  });

  test("a job file above this package's own modules: the place is still the user's", async () => {
    const file = join(directory, "package", "refused.mjs");
    await writeFile(
      file,
      `import { defineJob } from "tidemark";\n\nexport default defineJob("", {}, () => {});\n`,
    );
    expect((await loadOnly(file)).message).toContain("refused.mjs:3: job name");
  });

  test("a file where this package is not installed", async () => {
    await mkdir(join(directory, "bare"));
    const file = join(directory, "bare/job.ts");
    await writeFile(file, `import { defineJob } from "tidemark";\nexport default defineJob;\n`);
    expect((await loadOnly(file)).message).toContain("npm install tidemark");
  });

  test("modules in a folder whose .js is CommonJS", async () => {
    await mkdir(join(directory, "common"));
    await writeFile(join(directory, "common/package.json"), '{ "type": "commonjs" }');
    const file = join(directory, "common/job.js");
    for (const text of ['import { defineJob } from "tidemark";\n', "export default {};\n"]) {
      await writeFile(file, text);
      expect((await loadOnly(file)).message).toMatch(/"type": "module".*npm pkg set type=module.*\.mjs/);
    }
  });

  test("no such file, a directory, another extension", async () => {
    const at = (name: string) => join(project, name);
    await writeFile(at("word-count.ts"), "");
    await writeFile(at("job.py"), "");
    await expect(loadJob(at("word-count.js"))).rejects.toMatchObject({
      key: at("word-count.js"),
      message: `job file ${at("word-count.js")}: no such file (looked for ${at("word-count.js")}); did you mean ${at("word-count.ts")}?`,
    });
    await expect(loadJob(at("word-cuont.ts"))).rejects.toThrow(`did you mean ${at("word-count.ts")}?`);
    await expect(loadJob(at("nowhere/at-all.ts"))).rejects.toThrow(
      /no such file \(looked for .*at-all\.ts\)$/,
    );
    await expect(loadJob(project)).rejects.toThrow("is not a file");
    await expect(loadJob(at("job.py"))).rejects.toThrow("must be one of .ts, .mts, .cts, .js, .mjs, .cjs");
  });
});
