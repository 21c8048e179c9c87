/** `tidemark doctor`: says in sentences what is wrong with a job, and what mends it. */
import type { Command } from "commander";
import { addClientOptions, type ClientFlags, checkJobName, print, withView } from "../commands/client.ts";
import { readReport } from "../commands/jobs.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { diagnose, type Finding } from "./diagnosis.ts";

export function doctorCommand(program: Command): void {
  addClientOptions(program.command("doctor"))
    .description("say what is wrong with a job, who holds its event time back, and what mends that")
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
    const report = await readReport(view, flags, job);
    const findings = diagnose(report, Date.now());
    print(flags, { job, status: report.status, findings }, describe(job, findings));
  });
}

function describe(job: string, findings: readonly Finding[]): string {
  if (findings.length === 0) return `nothing is wrong with job ${job}, as far as its coordinator knows`;
  return findings.map(({ says, help }) => `- ${says}${help === "" ? "" : `\n  ${help}`}`).join("\n");
}
