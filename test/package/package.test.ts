/** The package as a stranger gets it: packed, installed into an empty project by npm, used from TypeScript. */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { countingJob, wrongCounts } from "../cli/jobs.ts";
import { freePort } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";
import { install, run, Terminal } from "./stranger.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const directory = mkdtempSync(join(tmpdir(), "tidemark-package-"));
const copy = join(directory, "copy");
const project = join(directory, "project");
const PACKED_BYTES_MAX = 1_400_000;

let tarball = "";
let packed: readonly string[] = [];

beforeAll(() => {
  // Packing begins by deleting dist, which others use now.
  mkdirSync(copy);
  for (const name of readdirSync(root)) {
    if (["node_modules", "dist", ".git", ".tidemark"].includes(name)) continue;
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  const { status, stderr } = run(copy, "npm", "pack", "--pack-destination", directory);
  expect(status, stderr).toBe(0);
  tarball = join(directory, readdirSync(directory).find((name) => name.endsWith(".tgz"))!);
  packed = execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((name) => name.replace(/^package\//, ""));

  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{ "name": "stranger", "private": true, "type": "module" }\n');
  install(project, tarball);
});
afterAll(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));

describe("what is in it", () => {
  test("what is needed, and nothing else", () => {
    for (const wanted of [
      "package.json",
      "README.md",
      "LICENSE",
      "dist/src/index.js",
      "dist/src/index.d.ts",
      "dist/src/cli/main.js",
      "dist/src/nats/server/server-guardian.js",
      "dist/machines/leader/job.js",
    ])
      expect(packed).toContain(wanted);
    const strange = packed.filter(
      (name) => !/^(dist\/(src|machines)\/.+\.(js|d\.ts|js\.map)|[A-Z]+(\.md)?|package\.json)$/.test(name),
    );
    expect(strange).toEqual([]);
    expect(packed.filter((name) => /\/(test|bench)\/|[.](test|spec)[.]/.test(name))).toEqual([]);
  });

  test(`no more than ${PACKED_BYTES_MAX} bytes`, () => {
    expect(statSync(tarball).size).toBeLessThan(PACKED_BYTES_MAX);
  });

  test("every module finds what it imports among the dependencies", () => {
    const manifest = JSON.parse(
      readFileSync(join(project, "node_modules/tidemark/package.json"), "utf8"),
    ) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const missing: string[] = [];
    for (const name of packed.filter((one) => one.endsWith(".js"))) {
      const text = readFileSync(join(project, "node_modules/tidemark", name), "utf8");
      for (const [, specifier] of text.matchAll(/^(?:import|export) .*?from "([^."][^"]*)";$/gm)) {
        if (specifier!.startsWith("node:")) continue;
        const dependency = specifier!
          .split("/")
          .slice(0, specifier!.startsWith("@") ? 2 : 1)
          .join("/");
        if (!(dependency in manifest.dependencies)) missing.push(`${name} imports ${dependency}`);
      }
    }
    expect(missing).toEqual([]);
  });

  test("it installs without scripts of its own", () => {
    const { scripts } = JSON.parse(
      readFileSync(join(project, "node_modules/tidemark/package.json"), "utf8"),
    ) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    for (const name of ["preinstall", "install", "postinstall", "prepare"])
      expect(scripts[name]).toBeUndefined();
  });
});

describe("used from an empty project", () => {
  test("a TypeScript job runs by npx", () => {
    writeFileSync(join(project, "job.ts"), countingJob({ count: 2_000 }, "ts"));
    const ended = run(project, "npx", "tidemark", "run", "./job.ts");
    expect(ended.status, ended.stderr).toBe(0);
    expect(ended.stderr.replace(/^npm .*\n/gm, "")).toBe("");
    expect(ended.stdout).toMatch(/job counting has finished/);
    const files = readdirSync(join(project, "out")).filter((name) => !name.startsWith("."));
    const lines = files.flatMap((name) =>
      readFileSync(join(project, "out", name), "utf8")
        .trimEnd()
        .split("\n"),
    );
    expect(
      wrongCounts(
        lines.map((line) => JSON.parse(line) as string),
        2_000,
      ),
    ).toEqual([]);
  });

  test("its types are found, and they are strict", () => {
    writeFileSync(join(project, "job.ts"), countingJob({ count: 10 }, "ts"));
    writeFileSync(
      join(project, "wrong.ts"),
      `import { defineJob, fileSink, generatorSource } from "tidemark";
import { createTestHarness } from "tidemark/testing";
export default defineJob("wrong", {}, (job) => {
  job
    .source("numbers", generatorSource({ count: 1, generate: (index) => index }))
    // @ts-expect-error a number has no such method
    .map("shout", (n) => n.toUpperCase())
    .sink("s", fileSink({ directory: "d" }));
});
// @ts-expect-error no such option
export const misspelt = defineJob("misspelt", { paralelism: 2 }, () => {});
// @ts-expect-error a harness is of a job
export const harness = createTestHarness("wrong");
`,
    );
    const typeRoots = [join(root, "node_modules/@types")];
    const settings = [
      // The project has no types of Node's, as an empty one.
      { module: "nodenext", moduleResolution: "nodenext", types: [], skipLibCheck: true },
      { module: "esnext", moduleResolution: "bundler", types: [], skipLibCheck: true },
      // Every declaration that we ship is looked at.
      { module: "nodenext", moduleResolution: "nodenext", types: ["node"], typeRoots, skipLibCheck: false },
    ];
    for (const setting of settings) {
      const compilerOptions = {
        ...{ strict: true, noEmit: true, target: "es2023", exactOptionalPropertyTypes: true },
        ...setting,
      };
      writeFileSync(
        join(project, "tsconfig.json"),
        JSON.stringify({ compilerOptions, files: ["job.ts", "wrong.ts"] }),
      );
      const checked = run(
        project,
        process.execPath,
        join(root, "node_modules/typescript/bin/tsc"),
        "-p",
        ".",
      );
      // XState's own declarations do not know `exactOptionalPropertyTypes`.
      const problems = checked.stdout
        .split("\n")
        .filter((line) => /^\S/.test(line) && !line.startsWith("node_modules/xstate/"));
      expect({ problems, stderr: checked.stderr }).toEqual({ problems: [], stderr: "" });
      if (setting.skipLibCheck) expect(checked.status).toBe(0);
    }
  });

  test("only what is exported can be imported", () => {
    const deep = run(
      project,
      process.execPath,
      "--input-type=module",
      "-e",
      'await import("tidemark/dist/src/runtime/actor.js")',
    );
    expect(deep.stderr).toMatch("ERR_PACKAGE_PATH_NOT_EXPORTED");
  });

  test("a job is tested by what tidemark/testing exports", () => {
    writeFileSync(
      join(project, "harness.mjs"),
      `import { defineJob, fileSink, generatorSource } from "tidemark";
import { createTestHarness } from "tidemark/testing";
const job = defineJob("tested", {}, (builder) => {
  builder
    .source("numbers", generatorSource({ count: 1, generate: (index) => index }))
    .map("double", (n) => n * 2)
    .sink("s", fileSink({ directory: "d" }));
});
const harness = await createTestHarness(job);
await harness.push("numbers", 21);
console.log(harness.output("s").join());
await harness.close();
`,
    );
    expect(run(project, process.execPath, "harness.mjs")).toMatchObject({ status: 0, stdout: "42\n" });
  });

  test("a sink of one's own, as the docs have it, passes the cases of sinks", () => {
    const docs = readFileSync(join(root, "docs/connectors/own-connectors.md"), "utf8");
    const [sink, cases] = [...docs.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => text!);
    const folder = join(project, "shelf");
    mkdirSync(folder);
    writeFileSync(join(folder, "shelf.ts"), sink!);
    writeFileSync(join(folder, "shelf.test.ts"), cases!);
    writeFileSync(join(folder, "my-store.ts"), MY_STORE);
    const compilerOptions = {
      ...{ strict: true, target: "es2023", module: "nodenext", moduleResolution: "nodenext" },
      ...{ types: ["node"], typeRoots: [join(root, "node_modules/@types")], skipLibCheck: true },
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["shelf.ts", "shelf.test.ts", "my-store.ts"] }),
    );
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    expect(run(folder, process.execPath, compiler, "-p", ".")).toMatchObject({ status: 0, stdout: "" });
    const tested = run(folder, process.execPath, "--test", "shelf.test.js");
    expect(tested.stdout).toMatch(/pass 1[0-9]\b/);
    expect(tested).toMatchObject({ status: 0, stderr: "" });
  });

  test("npx tidemark --version is that of the package", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly version: string;
    };
    expect(run(project, "npx", "tidemark", "--version")).toMatchObject({ status: 0, stdout: `${version}\n` });
  });
});

describe("a package that only some jobs need, and that is not installed", () => {
  beforeAll(() => {
    writeFileSync(join(project, "job.mjs"), countingJob({ name: "optional", count: 10 }));
    for (const name of ["lmdb", "@aws-sdk"])
      rmSync(join(project, "node_modules", name), { recursive: true, force: true });
  });

  test.each<[what: string, flags: readonly string[], says: RegExp, code: number]>([
    [
      "lmdb",
      ["-c", "state.backend=disk"],
      /tidemark: .*state\.backend: "disk" needs the package lmdb, which is not installed beside tidemark .*npm install lmdb@\d+\.\d+\.\d+, or state\.backend: "heap"/,
      3,
    ],
    [
      "the AWS SDK",
      ["--storage", "s3://bucket/prefix"],
      /tidemark: .*s3:\/\/bucket\/prefix needs the package @aws-sdk\/client-s3, which cannot be loaded .*npm install @aws-sdk\/client-s3/,
      2,
    ],
  ])("%s: `run` ends with the command that installs it, said once", (_what, flags, says, code) => {
    const { status, stderr } = run(project, "npx", "tidemark", "run", "./job.mjs", ...flags);
    expect(stderr).toMatch(says);
    expect(stderr.match(/npm install/g)).toHaveLength(1);
    expect(status).toBe(code);
  });
});

describe("the README, followed in an empty folder", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const section = readme.slice(
    readme.indexOf("\n## Write a job\n"),
    readme.indexOf("\nThe first argument of every operator"),
  );
  const terminals: Terminal[] = [];
  afterAll(async () => {
    for (const terminal of terminals) terminal.signal("SIGKILL");
    await Promise.all(terminals.map(({ ended }) => ended));
  });

  test("its job runs, is suspended, goes on, and counts each word once", async () => {
    const empty = join(directory, "empty");
    const folder = join(empty, "word-count");
    mkdirSync(join(empty, "bin"), { recursive: true });
    const tool = join(root, "dist/test/support/servers/nats-tool.js");
    writeFileSync(join(empty, "bin/nats"), `#!/bin/sh\nexec ${process.execPath} ${tool} "$@"\n`, {
      mode: 0o755,
    });
    const port = String(await freePort());
    const open = (line: string) => {
      const terminal = new Terminal(folder, line);
      terminals.push(terminal);
      return terminal;
    };
    let job: Terminal | undefined;
    let counts: Terminal | undefined;
    const type = async (line: string, cwd: string) => {
      if (line.startsWith("npm install tidemark ")) install(cwd, tarball, ...line.split(" ").slice(3));
      else if (/^npx tidemark run \S+ --port/.test(line)) {
        job = open(line);
        await job.shows("waiting for what the job needs");
      } else if (line === "node counts.js") {
        await job!.shows("checkpoints every");
        counts = open(line);
      } else if (line.startsWith("nats ")) {
        expect(job!.output).toContain(line);
        const { status, stderr } = run(cwd, "/bin/sh", "-ec", `PATH=${empty}/bin:$PATH; ${line}`);
        expect(status, stderr).toBe(0);
      } else if (!line.includes("nats://host")) {
        const { status, stderr } = run(cwd, "/bin/sh", "-ec", line);
        expect(status, stderr).toBe(0);
      }
    };

    const shown: unknown[] = [];
    for (const [, language, text] of section.matchAll(/^```(\w+)\n(.*?)^```$/gms)) {
      const body = text!.replaceAll("4222", port);
      if (language === "json") shown.push(...jsonLines(body));
      else if (language === "sh")
        for (const line of body.trimEnd().split("\n"))
          await type(line, line.startsWith("mkdir ") ? empty : folder);
      else writeFileSync(join(folder, /^\/\/ (\S+)$/m.exec(body)![1]!), body);
    }
    const words = { to: 2, be: 2, or: 1, not: 1, that: 1, is: 1, the: 1, question: 1 };
    const expected = Object.entries(words).flatMap(([word, times]) =>
      Array.from({ length: times }, (_, i) => ({ word, count: i + 1 })),
    );
    const counted = async (all: readonly object[]) => {
      await until("every word is counted", () => jsonLines(counts!.output).length >= all.length, {
        describe: () => `${counts!.output}\n${job!.output}`,
      });
      expect(new Set(jsonLines(counts!.output).map((one) => JSON.stringify(one)))).toEqual(
        new Set(all.map((one) => JSON.stringify(one))),
      );
      expect(jsonLines(counts!.output)).toHaveLength(all.length);
    };
    await counted(expected);
    expect(expected).toEqual(expect.arrayContaining(shown));
    expect(shown).toHaveLength(2);

    const [resume, publish, result] = [
      "`npx tidemark run ./my-job.ts`",
      '`node publish.js "to"`',
      '`{"word":"to","count":3}`',
    ];
    for (const written of [resume, publish, result]) expect(section).toContain(written);
    job!.signal("SIGINT");
    await job!.shows("job word-count is suspended");
    await job!.ended;
    job = open(resume!.replaceAll("`", ""));
    await job.shows(`at nats://127.0.0.1:${port},`);
    await job.shows("checkpoints every");
    await type(publish!.replaceAll("`", ""), folder);
    await counted([...expected, { word: "to", count: 3 }]);
    job.signal("SIGINT");
    await job.shows("job word-count is suspended");
  });
});

/** The service that the sink of the docs writes to: whole transactions, one after the other. */
const MY_STORE = `export class MyStore {
  #entries = new Map<string, string>();
  async get(name: string) { return this.#entries.get(name); }
  async transaction<R>(work: (step: MyStep) => Promise<R>): Promise<R> {
    const entries = new Map(this.#entries);
    const result = await work({ get: async (name) => entries.get(name), set: (name, text) => void entries.set(name, text) });
    this.#entries = entries;
    return result;
  }
  async counts() {
    const found = [...this.#entries].filter(([name]) => name.startsWith("count/"));
    return found.map(([name, text]) => ({ word: name.slice(6), count: Number(text) }));
  }
  async dropMarkers() {
    for (const name of this.#entries.keys()) if (name.startsWith("marker/")) this.#entries.delete(name);
  }
}
interface MyStep { get(name: string): Promise<string | undefined>; set(name: string, text: string): void }
`;

function jsonLines(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as unknown);
}
