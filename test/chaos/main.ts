/**
 * `node dist/test/chaos/main.js --seconds 60 [--seed N] [--json] [--keep]`: exit code 0 only when nothing was wrong.
 */
import { parseArgs } from "node:util";
import { runChaos, succeeded } from "./run.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string" },
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});

const seconds = Number(values.seconds);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
  console.error("--seconds is a positive number, --seed a whole one");
  process.exit(2);
}
console.error(`seed ${seed}`);
const report = await runChaos({
  seed,
  seconds,
  keepLogs: values.keep,
  ...(values.json ? {} : { tell: (line: string) => console.error(line) }),
});
const ok = succeeded(report);
if (!ok) console.error(`logs, story and event feed: ${report.directory}`);
console.log(JSON.stringify(report));
process.exit(ok ? 0 : 1);
