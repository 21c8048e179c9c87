#!/usr/bin/env node
/**
 * The `tidemark` command: looks at what the process may use, and then loads the rest, which takes more files at once
 * than a small limit allows.
 */
import { tightLimit } from "./process/own-limits.ts";

const tight = tightLimit();
if (tight === undefined) {
  await import("./program.ts");
} else {
  process.stderr.write(`tidemark: ${tight}\n`);
  process.exitCode = 3;
}
