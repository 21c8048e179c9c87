#!/usr/bin/env node
/** The `tidemark` command. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { clientCommands } from "./client-commands.ts";
import { coordinatorCommand } from "./coordinator-command.ts";
import { exitCodes, reportError } from "./report-error.ts";
import { runCommand } from "./run-command.ts";
import { workerCommand } from "./worker-command.ts";

const packageJson = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
  readonly version: string;
};

const program = new Command("tidemark")
  .description("Exactly-once stateful stream processing for services that talk NATS")
  .version(packageJson.version)
  .showHelpAfterError("(add --help for the options)")
  .exitOverride();

runCommand(program);
coordinatorCommand(program);
workerCommand(program);
clientCommands(program);
for (const command of program.commands)
  command.exitOverride().showHelpAfterError("(add --help for the options)");

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else process.exit(reportError(error));
}
