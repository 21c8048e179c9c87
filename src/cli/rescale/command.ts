/** `tidemark rescale`: other numbers of subtasks for a job that runs. */
import type { Command } from "commander";
import { ConfigurationError } from "../../errors.ts";
import { newId } from "../assembly.ts";
import {
  addClientOptions,
  type ClientFlags,
  checkJobName,
  clientOf,
  ofLeader,
  print,
  withView,
} from "../commands/client.ts";
import { type OperatorNumbers, operatorNumber, wholeNumber } from "../options.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { interruptible } from "../process/interruption.ts";

const PARALLELISM_MAX = 32_768;

interface RescaleFlags extends ClientFlags {
  readonly parallelism?: number;
  readonly operator?: OperatorNumbers;
}

export function rescaleCommand(program: Command): void {
  addClientOptions(program.command("rescale"))
    .description(
      "change how many subtasks a running job has; it goes on from a checkpoint that is taken for this",
    )
    .argument("<job>", "name of the job")
    .option(
      "--parallelism <n>",
      "of all operators whose own code names no other; default: as they are",
      wholeNumber(1, PARALLELISM_MAX),
    )
    .option("--operator <id=n>", "of one operator; may be given several times", operatorNumber)
    .addHelpText(
      "after",
      exitCodeHelp(
        ["ok", "usage", "environment", "refused", "bug"],
        "the job runs with these numbers of subtasks",
      ),
    )
    .action(rescale);
}

async function rescale(job: string, flags: RescaleFlags): Promise<void> {
  checkJobName(job);
  const { parallelism = null, operator: operators = {} } = flags;
  if (parallelism === null && Object.keys(operators).length === 0)
    throw new ConfigurationError("parallelism", "give --parallelism N, or --operator ID=N, or both");
  await withView(flags, async (view) => {
    let isTaken = false;
    await interruptible(
      () =>
        `${isTaken ? `job ${job} is rescaled without this command, unless another coordinator takes the lead first` : `no coordinator has answered yet, so job ${job} may be rescaled or not`}: "tidemark describe ${job}" shows its subtasks`,
      () =>
        ofLeader(view, job, "rescale", () =>
          clientOf(view, flags).rescale({ job, request: newId(), parallelism, operators }, () => {
            isTaken = true;
          }),
        ),
    );
    const asked = [
      ...(parallelism === null ? [] : [`parallelism ${parallelism}`]),
      ...Object.entries(operators).map(([id, n]) => `${id} with ${n}`),
    ];
    print(flags, { job, parallelism, operators, rescaled: true }, `job ${job} runs with ${asked.join(", ")}`);
  });
}
