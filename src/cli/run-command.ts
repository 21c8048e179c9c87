/** `tidemark run JOB`: everything a job needs in one command, on one machine. */
import type { Command } from "commander";
import { Option } from "commander";
import type { JobReport } from "../control/messages.ts";
import { RequestRefusedError } from "../errors.ts";
import { describePlan } from "../job/plan.ts";
import { addClusterOptions, addConfigOptions, loggerOf, wholeNumber } from "./options.ts";
import { exitCodes } from "./report-error.ts";
import { type RunFlags, RunSession } from "./run-session.ts";

interface RunCommandFlags extends RunFlags {
  readonly json?: boolean;
}

const SHOW_EVERY_MS = 2000;
const KILLED_BY_SIGINT = 130;

export function runCommand(program: Command): void {
  addConfigOptions(addClusterOptions(program.command("run"), "optional"))
    .description("run a job here: workers, coordinator and, without --server, a nats-server")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .addOption(
      new Option("-w, --workers <n>", "worker processes (default: as many as the parallelism)").argParser(
        wholeNumber(1),
      ),
    )
    .option("--fresh", "start over: drop the state of an earlier run")
    .option("--events <file>", "append every event of the job to this file, one JSON object a line")
    .option("--json", "one JSON object at the end instead of text")
    .action(run);
}

async function run(jobPath: string, flags: RunCommandFlags): Promise<void> {
  const say = (line: string) => void (flags.json === true || process.stdout.write(`${line}\n`));
  const session = await RunSession.start({
    jobPath,
    flags,
    logger: loggerOf({ ...flags, logLevel: "warn" }, "run"),
    say,
  });
  const { job, plan, config } = session.prepared;
  say(`${describePlan(plan, config)}\n`);
  suspendOnSignal(session, say);
  const progress = setInterval(showProgress(session, say), SHOW_EVERY_MS);
  let report: JobReport;
  try {
    report = await session.ended();
  } finally {
    clearInterval(progress);
    await session.close();
  }
  if (flags.json === true) process.stdout.write(`${JSON.stringify(report)}\n`);
  else say(epitaph(report));
  if (report.status === "failed") {
    const failure = report.failures.at(-1);
    process.stderr.write(`tidemark: job ${job.name} failed: ${failure?.where}: ${failure?.reason}\n`);
  }
  process.exit(
    report.status === "failed" || report.status === "canceled" ? exitCodes.jobFailed : exitCodes.ok,
  );
}

/** First signal: suspend, always resumable. Second: end at once, as safe as a crash (P30). */
function suspendOnSignal(session: RunSession, say: (line: string) => void): void {
  let asked = false;
  const onSignal = () => {
    if (asked) {
      session.kill();
      process.exit(KILLED_BY_SIGINT);
    }
    asked = true;
    say("suspending: one more checkpoint; press Ctrl-C again to end at once");
    session.suspend().catch((error: unknown) => {
      if (!(error instanceof RequestRefusedError)) say(`cannot suspend: ${String(error)}`);
    });
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

function showProgress(session: RunSession, say: (line: string) => void): () => void {
  let last = 0;
  let lastMs = performance.now();
  return () => {
    const report = session.latest;
    if (report === undefined) return;
    const sources = new Set(
      session.prepared.plan.vertices
        .filter((vertex) => vertex.operators[0]?.kind === "source")
        .map((vertex) => vertex.id),
    );
    const read = report.subtasks
      .filter((subtask) => sources.has(subtask.subtask.split("/")[0] ?? ""))
      .reduce((sum, subtask) => sum + subtask.recordsIn, 0);
    const nowMs = performance.now();
    const rate = Math.max(0, Math.round(((read - last) * 1000) / (nowMs - lastMs)));
    last = read;
    lastMs = nowMs;
    const waiting = report.waitingFor === "" ? "" : `, waiting for ${report.waitingFor}`;
    const checkpoint = report.checkpoints.latest?.checkpointId ?? "none";
    say(
      `${report.phase.split(".")[0]}${waiting}  generation ${report.generation}  ${read.toLocaleString("en")} records read ` +
        `(${rate.toLocaleString("en")}/s)  checkpoint ${checkpoint}`,
    );
  };
}

function epitaph(report: JobReport): string {
  const checkpoints = `${report.checkpoints.completed} checkpoints completed, ${report.checkpoints.aborted} aborted, ${report.restarts} restarts`;
  switch (report.status) {
    case "finished":
      return `job ${report.job} has finished: all input processed, all output committed (${checkpoints})`;
    case "suspended":
      return `job ${report.job} is suspended (${checkpoints}); run it again to go on, or with --fresh to start over`;
    case "canceled":
      return `job ${report.job} was canceled (${checkpoints})`;
    default:
      return `job ${report.job} is ${report.status} (${checkpoints})`;
  }
}
