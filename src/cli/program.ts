/** The commands of `tidemark`, and how the process ends (main.ts has looked at its limits). */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { checkpointCommands } from "./commands/checkpoints.ts";
import { configCommand } from "./commands/config.ts";
import { coordinatorCommand } from "./commands/coordinator.ts";
import { disposeCommand } from "./commands/dispose.ts";
import { jobCommands } from "./commands/jobs.ts";
import { requestCommands } from "./commands/requests.ts";
import { runCommand } from "./commands/run.ts";
import { savepointCommands } from "./commands/savepoints.ts";
import { workerCommand } from "./commands/worker.ts";
import { doctorCommand } from "./doctor/doctor.ts";
import { advice } from "./output/advice.ts";
import { exitCodeHelp, exitCodes, reportError } from "./output/report-error.ts";
import { commandOutput, prepareOutput, reserveStdout } from "./output/stdout.ts";
import { endProcess } from "./process/exit.ts";
import { rescaleCommand } from "./rescale/command.ts";
import { stateCommands } from "./state/commands.ts";

const packageJson = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};

const program = new Command("tidemark")
  .description("Exactly-once stateful stream processing for services that talk NATS")
  .version(packageJson.version)
  .addHelpText("after", exitCodeHelp());

runCommand(program);
coordinatorCommand(program);
workerCommand(program);
requestCommands(program);
savepointCommands(program);
rescaleCommand(program);
disposeCommand(program);
jobCommands(program);
doctorCommand(program);
checkpointCommands(program);
stateCommands(program);
configCommand(program);
reportUsageInOurForm(program, "tidemark");
// The output of a worker is its log.
program.hook("preAction", (_, command) => {
  advice.begin(program, command);
  if (command.name() !== "worker") reserveStdout();
});

prepareOutput();

try {
  await program.parseAsync();
  // Not when nothing is left to do: a job file may have left a timer or a server open.
  await endProcess();
} catch (error) {
  if (error instanceof CommanderError)
    await endProcess(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
  await endProcess(reportError(error));
}

/** Gives errors of usage the form of all our messages: one line, what is wrong and what helps. */
function reportUsageInOurForm(command: Command, name: string): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => commandOutput.write(text),
    outputError: (text, write) => {
      const said = text
        .trim()
        .replace(/^error: /, "")
        .replace(/\s*\n\s*/g, " ")
        .replace(/\.$/, "");
      write(`tidemark: ${said}; "${name} --help" lists the options\n`);
    },
  });
  for (const one of command.commands) reportUsageInOurForm(one, `${name} ${one.name()}`);
}
