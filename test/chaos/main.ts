/**
 * `node dist/test/chaos/main.js --seconds 60 [--seed N] [--job NAME] [--backend heap|disk] [--rescale]
 * [--local-recovery] [--json] [--keep]`
 *
 * Exit code 0 only when nothing was wrong. Without `--job` all jobs are disturbed in turn, each for its share of the
 * seconds.
 */
import { refuse, runArguments } from "./arguments.ts";
import { type ChaosReport, succeeded, together } from "./report.ts";
import { runChaos } from "./run.ts";
import { WORKLOADS } from "./workloads/workloads.ts";

const { seed, seconds, job, json, keep, backend, rescale, localRecovery } = runArguments("job");
const workloads = WORKLOADS.filter(({ name }) => job === undefined || name === job);
if (workloads.length === 0)
  refuse(`--job is one of ${WORKLOADS.map(({ name }) => name).join(", ")}, and not "${job}"`);
const each = seconds / workloads.length;
const reports: ChaosReport[] = [];
for (const workload of workloads) {
  const report = await runChaos({
    ...{ workload, seed, seconds: each, keepLogs: keep, backend, rescale, localRecovery },
    ...(json ? {} : { tell: (line: string) => console.error(line) }),
  });
  reports.push(report);
  if (succeeded(report)) continue;
  console.error(`logs, story and event feed: ${report.directory}`);
  console.error(
    `again: npm run chaos -- --seconds ${each} --seed ${seed} --job ${workload.name} --backend ${backend}` +
      `${rescale ? " --rescale" : ""}${localRecovery ? " --local-recovery" : ""}`,
  );
}
console.log(JSON.stringify(reports.length === 1 ? reports[0] : together(reports)));
process.exit(reports.every(succeeded) ? 0 : 1);
