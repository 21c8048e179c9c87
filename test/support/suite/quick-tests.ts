/** The test files of `npm run test:quick`: those that start no server, no other process and no whole engine. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A test file that imports one of these, itself or by other files under test/, is not quick. */
const SLOW = [
  "node:child_process",
  "@nats-io/transport-node",
  "src/nats/server/",
  "test/support/servers/compiled.ts",
  "test/support/memory-world.ts",
  "test/simulation/world.ts",
  "test/model/protocol/explore.ts",
  "test/model/checker/reference-search.ts",
];

/** Paths from the root of the repository. */
export function quickTests(): string[] {
  const files = readdirSync("test", { recursive: true, encoding: "utf8" }).map((name) => join("test", name));
  const known = new Map<string, boolean>();
  return files.filter((file) => file.endsWith(".test.ts") && !isSlow(file, known)).sort();
}

function isSlow(file: string, known: Map<string, boolean>): boolean {
  const before = known.get(file);
  if (before !== undefined) return before;
  known.set(file, false);
  const slow = importsOf(file).some(
    (imported) =>
      SLOW.some((one) => imported.startsWith(one)) ||
      (imported.startsWith("test/") && isSlow(imported, known)),
  );
  known.set(file, slow);
  return slow;
}

/** Packages by their name, our own files by their path from the root. */
function importsOf(file: string): string[] {
  const found = readFileSync(file, "utf8").matchAll(/^(?:import|export) [^;]*?"([^"]+)";$/gm);
  return [...found].map(([, name = ""]) => (name.startsWith(".") ? join(dirname(file), name) : name));
}
