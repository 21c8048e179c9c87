/** `tidemark state load`: the command. */
import type { Command } from "commander";
import { shellCommand } from "../../../shell-command.ts";
import { prepareSubmission } from "../../assembly.ts";
import { addClientOptions, type ClientFlags, checkPlace, print, withView } from "../../commands/client.ts";
import { addConfigOptions, type ConfigFlags, overridesOf } from "../../options.ts";
import { exitCodeHelp } from "../../output/report-error.ts";
import { counted } from "../../output/text.ts";
import { loadJobFile } from "../../submission/job-file.ts";
import { loadState } from "./load.ts";

export function loadCommand(state: Command): void {
  addConfigOptions(addClientOptions(state.command("load")))
    .description("make a savepoint of JSON lines, such as a dump has them, from which a job starts")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .requiredOption("--from <file>", "the lines; - is standard input")
    .requiredOption(
      "--to <place>",
      "where the savepoint goes: a directory (an absolute path), nats:<bucket> or s3://<bucket>/<prefix>",
    )
    .addHelpText("after", exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "it is complete"))
    .action(load);
}

interface LoadFlags extends ClientFlags, ConfigFlags {
  readonly from: string;
  readonly to: string;
}

async function load(path: string, flags: LoadFlags): Promise<void> {
  checkPlace("--to", flags.to);
  const { job, plan } = prepareSubmission(await loadJobFile(path), overridesOf(flags));
  await withView(flags, async (view) => {
    const storage = await view.openStorage(flags.to.replace(/\/+$/, ""), "make");
    const loaded = await loadState({ job: job.name, plan, file: flags.from, root: flags.to, storage });
    const { location, lines, passedOver, notes } = loaded;
    const text = [
      `savepoint ${location}`,
      `${counted(lines, "line")} taken; a job begins with it by ${shellCommand("tidemark", "restore", path, "--from", location)}`,
      ...(passedOver === 0
        ? []
        : [`${counted(passedOver, "line")} of what sinks remember of their targets left out`]),
      ...notes,
    ];
    print(flags, { job: job.name, ...loaded }, text.join("\n"));
  });
}
