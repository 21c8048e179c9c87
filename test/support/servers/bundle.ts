/**
 * Before the first test (`globalSetup`): brings `dist` up to date, and makes `dist/bundle` of it, a copy of the package
 * in few files. Tests start hundreds of `tidemark` processes, and each would spend most of its time on opening and
 * linking 500 modules.
 *
 * The modules are those of `dist`, each once, and take themselves to lie where they lie in the package. The package as
 * it is shipped is what `test/package` is about.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { type Plugin, rolldown } from "rolldown";
import { BUNDLE, root } from "./compiled.ts";

const DIST = join(root, "dist");
/** What a test starts, or a job file of a test imports. From `dist`. */
const ENTRIES = [
  /^src\/(index|testing\/index|cli\/main|nats\/server\/server-guardian)\.js$/,
  /^test\/support\/(graphs\/throttled-source|servers\/nats-tool)\.js$/,
  /^test\/recovery\/crashes\/component\.js$/,
  /^test\/(chaos|fuzz|recovery)\/jobs\/.*\.js$/,
];

export async function setup(): Promise<void> {
  compile();
  const builds = readdirSync(DIST).filter((name) => name.endsWith(".tsbuildinfo"));
  const sources = [...builds.map((name) => join(DIST, name)), join(root, "package-lock.json")];
  const bundledMs = changedMs(join(BUNDLE, "package.json"));
  if (sources.some((file) => changedMs(file) >= bundledMs)) await bundle();
}

/** What does not compile is told by `check:types`, and may be about something else. */
function compile(): void {
  try {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    console.error(`tsc -b: ${String((error as { stdout?: unknown }).stdout ?? error)}`);
  }
}

/** Another run of vitest may use the one that is there: it is replaced when the new one is whole. */
async function bundle(): Promise<void> {
  const made = `${BUNDLE}-${process.pid}`;
  const files = readdirSync(DIST, { recursive: true, encoding: "utf8" });
  const entries = files.filter((file) => ENTRIES.some((pattern) => pattern.test(file)));
  const build = await rolldown({
    input: Object.fromEntries(entries.map((file) => [`dist/${file.replace(/\.js$/, "")}`, join(DIST, file)])),
    platform: "node",
    // They load parts of themselves at run time.
    external: ["jiti", "msgpackr-extract", "@aws-sdk/client-s3", "pg", "pg-copy-streams", "mysql2"],
    plugins: [atHome],
  });
  await build.write({ dir: made, entryFileNames: "[name].js", chunkFileNames: "dist/src/[name]-[hash].js" });
  await build.close();
  copyFileSync(join(root, "package.json"), join(made, "package.json"));
  rmSync(BUNDLE, { recursive: true, force: true });
  renameSync(made, BUNDLE);
}

/** Each of our modules knows where the package lies, and finds its neighbours, by its own address. */
const atHome: Plugin = {
  name: "import.meta.url",
  transform(code, file) {
    if (!file.startsWith(DIST) || !code.includes("import.meta.url")) return undefined;
    const address = pathToFileURL(join(BUNDLE, relative(root, file))).href;
    return code.replaceAll("import.meta.url", JSON.stringify(address));
  },
};

function changedMs(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
