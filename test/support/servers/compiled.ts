/** The place of the compiled tree. Tests run from TypeScript, the processes that they kill from what `tsc -b` makes. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(import.meta.url);

function findRoot(): string {
  for (let at = dirname(here); ; at = dirname(at)) if (existsSync(join(at, "package.json"))) return at;
}

/** Directory of the repository. */
export const root = findRoot();
/** The package in few files (`bundle.ts`). */
export const BUNDLE = join(root, "dist/bundle");

/** Path of a compiled file, from the path of its source: `compiled("src/cli/main.ts")`. */
export function compiled(source: string): string {
  return join(root, "dist", source.replace(/\.ts$/, ".js"));
}

/**
 * As `compiled`, for a process that starts soon. A program that runs from `dist` itself starts others from there, too.
 */
export function bundled(source: string): string {
  if (here.endsWith(".js")) return compiled(source);
  return join(BUNDLE, "dist", source.replace(/\.ts$/, ".js"));
}
