/** `tidemark doctor`: says in sentences what is wrong with a job, and what mends it. */
import type { Command } from "commander";
import { addClientOptions, type ClientFlags, checkJobName, print, withView } from "../commands/client.ts";
import { readReport } from "../commands/jobs.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { diagnose, type Finding } from "./diagnosis.ts";
import { storageFindings } from "./storage-access.ts";

export function doctorCommand(program: Command): void {
  addClientOptions(program.command("doctor"))
    .description(
      "say what is wrong with a job, who holds its event time back, and what mends that; with a storage of checkpoints, " +
        "whether it may be written",
    )
    .argument("<job>", "name of the job")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "looked, also when something is wrong"),
    )
    .action(doctor);
}

async function doctor(job: string, flags: ClientFlags): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    const ofStorage = await storageFindings(view, job);
    const report = await readReport(view, flags, job).catch((error: unknown) => {
      // A coordinator that cannot use its storage does not start.
      for (const { says } of ofStorage) writeMessage(says);
      throw error;
    });
    const findings = [...diagnose(report, Date.now()), ...ofStorage];
    print(flags, { job, status: report.status, findings }, describe(job, findings));
  });
}

function describe(job: string, findings: readonly Finding[]): string {
  if (findings.length === 0) return `nothing is wrong with job ${job}, as far as its coordinator knows`;
  return findings.map(({ says, help }) => `- ${says}${help === "" ? "" : `\n  ${help}`}`).join("\n");
}
