/** Where the compiled tree is. Tests run from TypeScript, the processes that they kill from what `tsc -b` makes. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(import.meta.url);

function findRoot(): string {
  for (let at = dirname(here); ; at = dirname(at)) if (existsSync(join(at, "package.json"))) return at;
}

const root = findRoot();

/** Path of a compiled file, from the path of its source: `compiled("src/cli/main.ts")`. */
export function compiled(source: string): string {
  return join(root, "dist", source.replace(/\.ts$/, ".js"));
}

/** Brings `dist` up to date, unless this very program runs from there. */
export function compile(): void {
  if (here.endsWith(".js")) return;
  execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
}
