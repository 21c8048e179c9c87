/**
 * What counts as a job's code (P51). As in production: the compiled package loads the job files, in a plain node
 * process.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeDifferences, listingOf } from "../../src/job/code/code-listing.ts";
import type { ProjectCode } from "../../src/job/code/project-code.ts";

const run = promisify(execFile);
const root = resolve(import.meta.dirname, "../..");
let directory: string;
let projects = 0;

type Files = Readonly<Record<string, string>>;

interface Loaded {
  readonly code: ProjectCode;
  readonly fingerprint: string;
}

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "tidemark-code-")));
  const module = (path: string) => JSON.stringify(pathToFileURL(join(root, "dist/src/job", path)).href);
  await writeFile(
    join(directory, "load.mjs"),
    `import { loadJobWithCode } from ${module("code/load.js")};
     import { codeFingerprint } from ${module("fingerprint.js")};
     const found = [];
     for (const file of process.argv.slice(2)) {
       const { job, code } = await loadJobWithCode(file);
       found.push({ code, fingerprint: codeFingerprint(job, code) });
     }
     console.log(JSON.stringify(found));`,
  );
});

afterAll(() => rm(directory, { recursive: true, force: true }));

/** A directory of its own for each. @param links path of a link to where it leads, below the project */
async function makeProject(files: Files, links: Files = {}): Promise<string> {
  const at = join(directory, `project-${projects++}`);
  for (const [path, text] of Object.entries({ "package.json": '{ "name": "project" }', ...files })) {
    await mkdir(dirname(join(at, path)), { recursive: true });
    await writeFile(join(at, path), text);
  }
  await mkdir(join(at, "node_modules"), { recursive: true });
  await symlink(root, join(at, "node_modules/tidemark"));
  for (const [path, target] of Object.entries(links)) {
    await mkdir(dirname(join(at, path)), { recursive: true });
    await symlink(join(at, target), join(at, path));
  }
  return at;
}

/** All in one process, which is what takes the time. */
async function load(files: readonly string[]): Promise<readonly Loaded[]> {
  const { stdout } = await run(process.execPath, [join(directory, "load.mjs"), ...files], { cwd: directory });
  return JSON.parse(stdout);
}

const job = (imports: string, value: string) => `
  import { defineJob, generatorSource, fileSink } from "tidemark";
  ${imports}
  const value = ${value};
  export default defineJob("job", {}, (job) => {
    job.source("in", generatorSource({ count: 1, generate: () => ({ value: 1 }) })).sink("out", fileSink({ directory: "./out" }));
  });
`;
const commonJob = (value: string) => `
  const { defineJob, generatorSource, fileSink } = require("tidemark");
  const value = ${value};
  module.exports = defineJob("job", {}, (job) => {
    job.source("in", generatorSource({ count: 1, generate: () => ({ value: 1 }) })).sink("out", fileSink({ directory: "./out" }));
  });
`;
const helper = "export const helper = () => 1;\n";
const commonHelper = "exports.helper = () => 1;\n";
const manifest = (name: string, more: object = {}) => JSON.stringify({ name, version: "1.0.0", ...more });

interface Shape {
  readonly file: string;
  readonly files: Files;
  readonly links?: Files;
  /** Each alone changes the version, and is named so. */
  readonly counts: Readonly<Record<string, string>>;
}

const SHAPES: Readonly<Record<string, Shape>> = {
  "TypeScript, imports with and without extension, by the name of what is compiled, of each kind": {
    file: "jobs/job.ts",
    files: {
      "jobs/job.ts": job(
        `import { a } from "./a.ts"; import { b } from "../lib/b"; import { c } from "../lib/c.js"; import { d } from "../lib/d.mjs";
         import { e } from "../lib/e.mts"; import { f } from "../lib/f.cts"; import { g } from "../lib/g.cjs"; import h from "../lib/h.json";
         import { i } from "../lib/i"; import type { Shape } from "../lib/types.ts"; const shape: Shape = {};`,
        "[a, b, c, d, e, f, g, h, i, shape]",
      ),
      "jobs/a.ts": `import { deep } from "../lib/deep.ts"; export const a: number = deep;\n`,
      "lib/deep.ts": "export const deep = 1;\n",
      "lib/b.ts": "export const b = 1;\n",
      "lib/c.ts": "export const c = 1;\n",
      "lib/d.mjs": `export * from "./below-d.mjs";\n`,
      "lib/below-d.mjs": "export const d = 1;\n",
      "lib/e.mts": "export const e = 1;\n",
      "lib/f.cts": "export const f = 1;\n",
      "lib/g.cjs": `exports.g = require("./below-g.cjs");\n`,
      "lib/below-g.cjs": "module.exports = 1;\n",
      "lib/h.json": "[1]\n",
      "lib/i/index.ts": "export const i = 1;\n",
      "lib/types.ts": "export interface Shape {}\n",
      "lib/unrelated.ts": "export {};\n",
    },
    counts: Object.fromEntries(
      [
        ...[
          "jobs/job.ts",
          "jobs/a.ts",
          "lib/deep.ts",
          "lib/b.ts",
          "lib/c.ts",
          "lib/d.mjs",
          "lib/below-d.mjs",
        ],
        ...["lib/e.mts", "lib/f.cts", "lib/g.cjs", "lib/below-g.cjs", "lib/h.json", "lib/i/index.ts"],
      ].map((path) => [path, path]),
    ),
  },
  "JavaScript as ES modules, in a circle, with JSON, CommonJS, aliases of the package, and a name that is computed":
    {
      file: "job.mjs",
      files: {
        "package.json": '{ "name": "project", "imports": { "#alias": "./lib/aliased.mjs" } }',
        "job.mjs": job(
          `import { a } from "./lib/a.mjs"; import { b } from "./lib/b.js"; import { readFileSync } from "node:fs"; import "#alias";
         import data from "./lib/data.json" with { type: "json" }; import common from "./lib/common.cjs";
         const name = "computed"; const { c } = await import(\`./lib/\${name}.mjs\`);`,
          "[a, b, c, readFileSync, data, common]",
        ),
        "lib/a.mjs": `import { back } from "./circle.mjs"; export const a = () => back;\n`,
        "lib/circle.mjs": `import { a } from "./a.mjs"; export const back = () => a;\n`,
        "lib/b.js": "exports.b = 1;\n",
        "lib/aliased.mjs": "export {};\n",
        "lib/data.json": "[1]\n",
        "lib/common.cjs": `module.exports = [require("./common-data.json")];\n`,
        "lib/common-data.json": "[1]\n",
        "lib/computed.mjs": "export const c = 1;\n",
        "lib/unrelated.mjs": "export {};\n",
      },
      counts: Object.fromEntries(
        [
          ...["job.mjs", "lib/a.mjs", "lib/circle.mjs", "lib/b.js", "lib/aliased.mjs", "lib/data.json"],
          ...["lib/common.cjs", "lib/common-data.json", "lib/computed.mjs"],
        ].map((path) => [path, path]),
      ),
    },
  "JavaScript in a package of ES modules": {
    file: "src/job.js",
    files: {
      "package.json": '{ "type": "module" }',
      "src/job.js": job(`import { helper } from "./helper.js";`, "helper"),
      "src/helper.js": helper,
    },
    counts: { "src/job.js": "src/job.js", "src/helper.js": "src/helper.js" },
  },
  "what is loaded only when an operator runs": {
    file: "job.ts",
    files: {
      "job.ts": job(
        "",
        `async () => [await import("./late.ts"), require("./later.cjs"), await import("late")]`,
      ),
      "late.ts": `import { below } from "./below";\nexport const late: number = below;\n`,
      "below.ts": "export const below = 1;\n",
      "later.cjs": commonHelper,
      "unrelated.ts": helper,
      "node_modules/late/package.json": manifest("late"),
    },
    counts: {
      "late.ts": "late.ts",
      "below.ts": "below.ts",
      "later.cjs": "later.cjs",
      "node_modules/late/package.json": "package late is 2.0.0 here, 1.0.0 submitted",
    },
  },
  "path aliases of tsconfig.json": {
    file: "jobs/job.ts",
    files: {
      "jobs/job.ts": job(`import { helper } from "@lib/helper";`, "helper"),
      "lib/helper.ts": helper,
      "tsconfig.json": '{ "compilerOptions": { "paths": { "@lib/*": ["./lib/*"] } } }',
    },
    counts: { "lib/helper.ts": "lib/helper.ts" },
  },
  "packages, and what these need": {
    file: "job.mjs",
    files: {
      "job.mjs": job(`import { x } from "@scope/direct/sub"; import "common";`, "x"),
      "node_modules/@scope/direct/package.json": manifest("@scope/direct", {
        exports: { "./sub": "./sub.mjs" },
        dependencies: { needed: "1", "for-this-machine": "1" },
        optionalDependencies: { "for-this-machine": "1" },
        peerDependencies: { beside: "1", maybe: "1", tidemark: "*" },
        peerDependenciesMeta: { maybe: { optional: true } },
      }),
      "node_modules/@scope/direct/sub.mjs": `import "needed"; export const x = 1;\n`,
      "node_modules/needed/package.json": manifest("needed"),
      "node_modules/needed/index.js": "",
      "node_modules/beside/package.json": manifest("beside"),
      "node_modules/maybe/package.json": manifest("maybe"),
      "node_modules/for-this-machine/package.json": manifest("for-this-machine"),
      "node_modules/common/package.json": manifest("common"),
      "node_modules/common/index.js": "exports.x = 1;\n",
      "node_modules/unused/package.json": manifest("unused"),
    },
    counts: {
      "node_modules/@scope/direct/package.json": "package @scope/direct is 2.0.0 here, 1.0.0 submitted",
      "node_modules/needed/package.json": "package needed is 2.0.0 here, 1.0.0 submitted",
      "node_modules/beside/package.json": "package beside is 2.0.0 here, 1.0.0 submitted",
      "node_modules/common/package.json": "package common is 2.0.0 here, 1.0.0 submitted",
    },
  },
  "packages of TypeScript's": {
    file: "job.ts",
    files: {
      "job.ts": job(`import x from "common"; import { y } from "modern";`, "[x, y]"),
      "node_modules/common/package.json": manifest("common"),
      "node_modules/common/index.js": "module.exports = 1;\n",
      "node_modules/modern/package.json": manifest("modern", { type: "module", exports: "./index.js" }),
      "node_modules/modern/index.js": "export const y = 1;\n",
    },
    counts: {
      "node_modules/common/package.json": "package common is 2.0.0 here, 1.0.0 submitted",
      "node_modules/modern/package.json": "package modern is 2.0.0 here, 1.0.0 submitted",
    },
  },
  "a package of the workspace": {
    file: "apps/counting/job.ts",
    files: {
      "apps/counting/package.json": manifest("counting"),
      "apps/counting/job.ts": job(
        `import { x } from "@work/lib"; import { y } from "../../shared/y.ts";`,
        "[x, y]",
      ),
      "packages/lib/package.json": manifest("@work/lib", { type: "module", exports: "./src/index.ts" }),
      "packages/lib/src/index.ts": `export { x } from "./x.ts";\n`,
      "packages/lib/src/x.ts": "export const x = 1;\n",
      "shared/y.ts": "export const y = 1;\n",
    },
    links: { "apps/counting/node_modules/@work/lib": "packages/lib" },
    counts: {
      "packages/lib/src/index.ts": "@work/lib:src/index.ts",
      "packages/lib/src/x.ts": "@work/lib:src/x.ts",
      "shared/y.ts": "../../shared/y.ts",
    },
  },
};

const changed = (path: string, text: string) =>
  path.endsWith("package.json")
    ? text.replace('"1.0.0"', '"2.0.0"')
    : path.endsWith(".json")
      ? text.replace("1", "2")
      : `${text}// changed\n`;

describe("the version of a job's code", () => {
  describe.each(Object.entries(SHAPES))("%s", (_, { file, files, links, counts }) => {
    let original: Loaded;
    let elsewhere: Loaded;
    const variants = new Map<string, Loaded>();

    beforeAll(async () => {
      const made = [await makeProject(files, links), await makeProject(files, links)];
      const paths = Object.keys(files);
      for (const path of paths)
        made.push(await makeProject({ ...files, [path]: changed(path, files[path]!) }, links));
      const [first, second, ...others] = await load(made.map((at) => join(at, file)));
      original = first!;
      elsewhere = second!;
      for (const [i, path] of paths.entries()) variants.set(path, others[i]!);
    });

    const differenceOf = (path: string) =>
      codeDifferences(listingOf(original.code), listingOf(variants.get(path)!.code));

    test("is the same in another directory", () => expect(elsewhere).toEqual(original));

    test.each(Object.entries(counts))("changes with %s, which is named", (path, name) => {
      expect(variants.get(path)!.fingerprint).not.toBe(original.fingerprint);
      expect(differenceOf(path)).toBe(
        name.startsWith("package ") ? name : `other content than submitted: ${name}`,
      );
    });

    const others = Object.keys(files).filter((path) => !(path in counts) && path !== file);
    test.runIf(others.length > 0)("does not change with anything else", () => {
      for (const path of others) expect([path, variants.get(path)]).toEqual([path, original]);
    });
  });

  test("sees what a job file of CommonJS requires", async () => {
    const required = `[require("./helper.cjs"), require("./data.json")]`;
    const files = { "job.cjs": commonJob(required), "helper.cjs": commonHelper, "data.json": "[1]" };
    const typed = { "job.cts": job("", required), "helper.cjs": commonHelper, "data.json": "[1]" };
    const made = [join(await makeProject(files), "job.cjs"), join(await makeProject(typed), "job.cts")];
    const found = await load(made);
    expect(found.map(({ code }) => code.files.map(({ path }) => path))).toEqual([
      ["data.json", "helper.cjs", "job.cjs"],
      ["data.json", "helper.cjs", "job.cts"],
    ]);
  });

  test("is the same in another directory when functions know where they are", async () => {
    const where = "import.meta.url + import.meta.dirname";
    const files = { "job.ts": job("", where).replace("value: 1", `value: ${where}`) };
    const [a, b] = await load([
      join(await makeProject(files), "job.ts"),
      join(await makeProject(files), "job.ts"),
    ]);
    expect(a).toEqual(b);
  });

  test("counts Tidemark by its version, and nothing of its files", async () => {
    const files = { "job.mjs": job("", "0") };
    const [found] = await load([join(await makeProject(files), "job.mjs")]);
    expect(found!.code.files.map(({ path }) => path)).toEqual(["job.mjs"]);
    expect(found!.code.packages).toEqual([expect.stringMatching(/^tidemark@\d/)]);
  });

  test("has the bytes of a file in it, not its text", async () => {
    const files = {
      "job.mjs": job(`import { helper } from "./helper.mjs";`, "helper"),
      "helper.mjs": helper,
    };
    const windows = { ...files, "helper.mjs": helper.replaceAll("\n", "\r\n") };
    const made = [await makeProject(files), await makeProject(windows)];
    const [a, b] = await load(made.map((at) => join(at, "job.mjs")));
    expect(a!.fingerprint).not.toBe(b!.fingerprint);
  });
});

describe("what differs between two versions", () => {
  const code = (files: Files, packages: readonly string[] = []): ProjectCode => ({
    files: Object.entries(files).map(([path, digest]) => ({ path, digest })),
    packages,
  });
  const differences = (submitted: ProjectCode, here: ProjectCode) =>
    codeDifferences(listingOf(submitted), listingOf(here));

  test("all that is known is said", () => {
    expect(
      differences(
        code({ "a.ts": "1", "b.ts": "1", "c.ts": "1" }, ["gone@1.0.0", "twice@1.0.0"]),
        code({ "a.ts": "2", "b.ts": "1", "d.ts": "1" }, ["@new/one@1.0.0", "twice@1.0.0", "twice@2.0.0"]),
      ),
    ).toBe(
      "other content than submitted: a.ts; not submitted: d.ts; submitted, but not loaded here: c.ts; " +
        "package @new/one (1.0.0) was not submitted; package gone (1.0.0) is not loaded here; " +
        "package twice is 1.0.0, 2.0.0 here, 1.0.0 submitted",
    );
  });

  test("the same files that describe another job", () => {
    expect(differences(code({ "a.ts": "1" }), code({ "a.ts": "1" }))).toContain("such as the environment");
  });

  test("a listing has a bound, and what it leaves out is not taken for missing", () => {
    const many = (digest: string) =>
      code(Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`src/file-${i}.ts`, digest])), [
        "a@1.0.0",
      ]);
    const listing = listingOf(many("1"));
    expect(JSON.stringify(listing).length).toBeLessThan(10_000);
    expect(listing.unlisted).toBeGreaterThan(4000);
    expect(codeDifferences(listing, { files: [], packages: [], unlisted: 0 })).toContain("src/file-0.ts");
    expect(codeDifferences({ files: [], packages: [], unlisted: 1 }, listing)).toContain(
      "too many to be listed",
    );
    const few = differences(many("1"), many("2"));
    expect(few).toMatch(/^other content than submitted: src\/file-0\.ts, .* and \d+ more$/);
  });
});
