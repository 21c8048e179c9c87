/** The report of a running job, asked for until it says what a test waits for. */
import { type Cluster, createClient } from "../../src/cli/assembly.ts";
import type { JobReport } from "../../src/control/messages.ts";
import { until } from "./workspace.ts";

/** The job's report, as soon as it meets this. @param what is waited for, in words */
export async function comesTo(
  cluster: Cluster,
  job: string,
  what: string,
  met: (report: JobReport) => boolean,
): Promise<JobReport> {
  let last: JobReport | undefined;
  await until(
    async () => {
      last = await createClient(cluster)
        .status(job)
        .catch(() => undefined);
      return last !== undefined && met(last);
    },
    () => `${job}: ${what}; at last ${JSON.stringify(last)}`,
  );
  return last!;
}
