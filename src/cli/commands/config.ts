/** `tidemark config print [JOB]`: every option's effective value, and where it comes from. */
import type { Command } from "commander";
import { resolveJobConfig } from "../../config/job-config.ts";
import type { EffectiveOption } from "../../config/settings.ts";
import { table } from "../../job/plan.ts";
import { repeatedByRestart } from "../../job/repeats.ts";
import {
  addConfigOptions,
  addStorageOptions,
  type ConfigFlags,
  overridesOf,
  type StorageFlags,
} from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { commandOutput } from "../output/stdout.ts";
import { loadJobFile } from "../submission/job-file.ts";

interface PrintFlags extends ConfigFlags, StorageFlags {
  readonly json?: boolean;
}

export function configCommand(program: Command): void {
  const config = program.command("config").description("the options of a job, and where they come from");
  addConfigOptions(addStorageOptions(config.command("print")))
    .description("show every option's effective value, its origin, and what became of what was asked for")
    .argument("[job]", "TypeScript or JavaScript file that exports a job by default")
    .option("--json", "one JSON object instead of text")
    .action(print);
}

async function print(path: string | undefined, flags: PrintFlags): Promise<void> {
  const job = path === undefined ? undefined : (await loadJobFile(path)).job;
  const repeats = job === undefined ? undefined : repeatedByRestart(job);
  const { options, warnings } = resolveJobConfig(job?.options ?? {}, overridesOf(flags), { repeats });
  if (flags.json === true) {
    commandOutput.writeJson({ job: job?.name ?? null, options, warnings });
    return;
  }
  commandOutput.write(`${table(options.map((option) => [option.key, option.text, originOf(option)]))}\n`);
  for (const warning of warnings) writeMessage(`warning: ${warning}`);
}

function originOf({ origin, spelling, asked, because }: EffectiveOption): string {
  const place = [spelling, origin.place].filter((part) => part !== undefined).join(" in ");
  const from = place === "" ? origin.layer : `${origin.layer} (${place})`;
  const became = asked === undefined ? because : `${asked} was asked for: ${because}`;
  return became === undefined ? from : `${from}; ${became}`;
}
