#!/usr/bin/env node
/** The `tidemark` command. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { coordinatorCommand } from "./commands/coordinator.ts";
import { clientCommands } from "./commands/requests.ts";
import { runCommand } from "./commands/run.ts";
import { workerCommand } from "./commands/worker.ts";
import { exitCodes, reportError } from "./report-error.ts";

const packageJson = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};

const program = new Command("tidemark")
  .description("Exactly-once stateful stream processing for services that talk NATS")
  .version(packageJson.version)
  .addHelpText(
    "after",
    `
Exit codes:
  ${exitCodes.ok}    done: finished, suspended, or the request was taken
  ${exitCodes.jobFailed}    the job failed or was canceled
  ${exitCodes.usage}    wrong options, or a job file that cannot work
  ${exitCodes.environment}    server, stream, permission, directory: something outside has to be mended
  ${exitCodes.refused}    the coordinator refused, and said why
  ${exitCodes.bug}   a bug in Tidemark
  ${exitCodes.interrupted}  interrupted before an orderly end; nothing is lost`,
  );

runCommand(program);
coordinatorCommand(program);
workerCommand(program);
clientCommands(program);
for (const command of [program, ...program.commands])
  command.exitOverride().configureOutput({ outputError: complainOf(command) });

// Whoever read our output has gone: that ends the output, not the job.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else process.exit(reportError(error));
}

/** In the form of all our messages: one line, what is wrong and what helps. */
function complainOf(command: Command): (text: string, write: (text: string) => void) => void {
  const help = command === program ? "tidemark --help" : `tidemark ${command.name()} --help`;
  return (text, write) => {
    const said = text
      .trim()
      .replace(/^error: /, "")
      .replace(/\s*\n\s*/g, " ")
      .replace(/\.$/, "");
    write(`tidemark: ${said}; "${help}" lists the options\n`);
  };
}
