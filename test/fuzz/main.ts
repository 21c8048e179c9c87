/**
 * `node dist/test/fuzz/main.js --seconds 60 [--seed N] [--json] [--keep] [--only TEXT]`: exit code 0 only when nothing
 * was wrong. `--only "channel flip"`: nothing but the kinds of messages whose name has this text.
 */
import { runArguments } from "../chaos/arguments.ts";
import { runFuzz } from "./run.ts";

const { seed, seconds, json, keep, only } = runArguments("only");
const report = await runFuzz({
  ...{ seed, seconds, keepLogs: keep, only },
  ...(json ? {} : { tell: (line: string) => console.error(line) }),
});
const { findings, last, directory, ...figures } = report;
if (findings.length > 0) {
  console.error(`\nWhat was sent last:\n${last.join("\n")}`);
  console.error(`\nFindings:\n${findings.join("\n")}`);
  console.error(`\nLogs, story and all that was sent: ${directory}`);
  console.error(
    `Again: npm run fuzz -- --seconds ${seconds} --seed ${seed}${only === undefined ? "" : ` --only "${only}"`}`,
  );
}
console.log(JSON.stringify({ ...figures, findings }));
process.exit(findings.length > 0 ? 1 : 0);
