/**
 * `node dist/test/chaos/main.js --seconds 60 [--seed N] [--json] [--keep]`: exit code 0 only when nothing was wrong.
 */
import { runArguments } from "./arguments.ts";
import { runChaos, succeeded } from "./run.ts";

const { seed, seconds, json, keep } = runArguments(false);
const report = await runChaos({
  ...{ seed, seconds, keepLogs: keep },
  ...(json ? {} : { tell: (line: string) => console.error(line) }),
});
const ok = succeeded(report);
if (!ok) console.error(`logs, story and event feed: ${report.directory}`);
console.log(JSON.stringify(report));
process.exit(ok ? 0 : 1);
