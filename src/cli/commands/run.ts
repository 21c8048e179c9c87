/** `tidemark run JOB`: everything a job needs in one command, on one machine. */

import { type Command, Option } from "commander";
import { regionsOf } from "../../../machines/leader/regions.ts";
import type { JobReport } from "../../control/messages.ts";
import { describeError } from "../../errors.ts";
import { describePlan, isSource } from "../../job/plan.ts";
import { kindOfReason } from "../../observe/troubles.ts";
import { addClusterOptions, addConfigOptions, messagesOf, wholeNumber } from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodes } from "../output/report-error.ts";
import { commandOutput } from "../output/stdout.ts";
import { count } from "../output/text.ts";
import { endSoon, exitProcess, setOutcome } from "../process/exit.ts";
import { LateLines } from "../run/late-lines.ts";
import { ProgressScreen, ProgressText, TroubleLines, TroubleText } from "../run/progress.ts";
import { type RunFlags, RunSession } from "../run/run-session.ts";
import { addGapOptions, SkippedLines } from "../submission/gaps.ts";
import { addRestoringOptions, unseenText } from "../submission/restoring.ts";

interface RunCommandFlags extends RunFlags {
  readonly json?: boolean;
}

export function runCommand(program: Command): void {
  addRestoringOptions(
    addGapOptions(addConfigOptions(addClusterOptions(program.command("run"), "optional"))),
    "optional",
  )
    .description("run a job here: workers, coordinator and, without --server, a nats-server")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .addOption(
      new Option("-w, --workers <n>", "worker processes (default: as many as the parallelism)").argParser(
        wholeNumber(1),
      ),
    )
    .addOption(
      new Option(
        "--port <n>",
        "port of the provided nats-server on 127.0.0.1, kept for the next time (default: the one of the last time, at " +
          "first one that follows from the directory)",
      ).argParser(wholeNumber(1, 65_535)),
    )
    .option(
      "--fresh",
      "start over: drop the state of an earlier run; with --from: begin with that one in its place",
    )
    .option("--events <file>", "append every event of the job to this file, one JSON object a line")
    .option("--json", "one JSON object at the end instead of text")
    .addHelpText(
      "after",
      "\nCtrl-C suspends: one more checkpoint, then everything stops, and the same command goes on from there." +
        "\nIf it cannot end in time, because decided output cannot be committed or nothing answers, the processes end all the" +
        "\nsame (exit code 3), and the next start goes on there." +
        "\nA second Ctrl-C ends at once, as safely as a crash. State and logs are in .tidemark beside the job file.",
    )
    .action(run);
}

async function run(jobPath: string, flags: RunCommandFlags): Promise<void> {
  const startedMs = performance.now();
  const screen = new ProgressScreen(flags.json === true ? { write: () => {} } : commandOutput);
  const say = (line: string) => screen.say(line);
  const interruption = new Interruption(say);
  let waited = false;
  const session = await RunSession.start({
    jobPath,
    flags,
    logger: messagesOf(flags, "run"),
    say,
    onLoaded: () => interruption.listen(),
    onMissing: (missing) => {
      waited = true;
      const text = `waiting for what the job needs (Ctrl-C ends the wait):\n${missing.replace(/^/gm, "  ")}`;
      if (flags.json === true) writeMessage(text);
      else say(text);
    },
  });
  if (waited) say("everything that the job needs is there");
  const { plan, config } = session.prepared;
  if (flags.dryRun === true) return await showRehearsal(session, flags);
  const { restored } = session;
  const notes = typeof restored === "object" ? restored.notes : [];
  say(`${[describePlan(plan, config, regionsOf(plan)), ...session.gaps, ...notes].join("\n")}\n`);
  interruption.suspends(session);
  const late = new LateLines();
  showProgress(screen, session, late);
  let report: JobReport;
  try {
    report = await session.ended();
  } finally {
    screen.end();
    interruption.ending();
    await session.close();
  }
  for (const line of late.atEnd()) say(line);
  const seconds = (performance.now() - startedMs) / 1000;
  if (flags.json === true) commandOutput.writeJson(report);
  else if (report.status !== "failed")
    commandOutput.write(`${outcomeLine(report, seconds, session.withoutCheckpoint(report))}\n`);
  if (report.status === "failed") writeMessage(causeOfFailure(report));
  setOutcome(report.status === "failed" || report.status === "canceled" ? exitCodes.jobFailed : exitCodes.ok);
}

/** What would be restored: the leader would take it, and nothing has begun. */
async function showRehearsal(session: RunSession, { from, json }: RunCommandFlags): Promise<void> {
  await session.close();
  const look = session.restored!;
  const { name } = session.prepared.job;
  if (json === true) commandOutput.writeJson(typeof look === "string" ? { from, unseen: look } : look.value);
  else
    commandOutput.write(
      `${typeof look === "string" ? unseenText(name, look) : [look.text, ...session.gaps].join("\n")}\n`,
    );
}

/** First signal: suspend, always resumable. Second: end at once, as safe as a crash (P30). */
class Interruption {
  readonly #say: (line: string) => void;
  #session: RunSession | undefined;
  #asked = false;
  #ending = false;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** Not while the job file is loaded: it may never return, and then no handler runs. */
  listen(): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => this.#interrupt());
  }

  suspends(session: RunSession): void {
    this.#session = session;
  }

  /** Nothing is left to suspend. */
  ending(): void {
    this.#ending = true;
  }

  #interrupt(): void {
    if (this.#session === undefined) {
      this.#say("interrupted while starting; run it again to go on");
      exitProcess(exitCodes.interrupted);
    }
    if (this.#asked) {
      this.#session.kill();
      exitProcess(exitCodes.interrupted);
    }
    this.#asked = true;
    endSoon();
    if (this.#ending) return;
    this.#say("suspending: one more checkpoint; press Ctrl-C again to end at once");
    this.#session.suspend().catch((error: unknown) => {
      if (!this.#ending)
        this.#say(
          `cannot suspend: ${describeError(error)}. If that takes too long, this run ends as by a crash, and the next one goes on from the last checkpoint`,
        );
    });
  }
}

function showProgress(screen: ProgressScreen, session: RunSession, late: LateLines): void {
  const { vertices } = session.prepared.plan;
  const sources = vertices.filter(({ operators }) => operators.some(isSource)).map(({ id }) => id);
  const progress = new ProgressText(sources);
  const failures = new TroubleText();
  const troubles = new TroubleLines();
  const skipped = new SkippedLines();
  session.onReport((report) => {
    for (const line of failures.news(report)) if (report.status !== "failed") screen.say(line);
    for (const line of skipped.news(report, performance.now())) screen.say(line);
    for (const line of late.news(report, performance.now())) screen.say(line);
  });
  session.onTroubles((source, present) => {
    for (const line of troubles.news(source, present)) screen.say(line);
  });
  screen.begin(() =>
    session.latest === undefined ? undefined : progress.describe(session.latest, performance.now()),
  );
}

function outcomeLine(report: JobReport, seconds: number, withoutCheckpoint: boolean): string {
  const { completed, aborted } = report.checkpoints;
  const facts =
    `${count(completed)} checkpoints completed, ${count(aborted)} aborted, ` +
    `${count(report.restarts)} restarts, ${seconds.toFixed(1)} s`;
  switch (report.status) {
    case "finished":
      return `job ${report.job} has finished: all input processed, all output committed (${facts})`;
    case "stopped":
      return `job ${report.job} has stopped with a savepoint (${facts}); "tidemark run FILE --from LOCATION" goes on from it`;
    case "suspended":
      return `job ${report.job} is suspended (${facts}); run it again to go on${withoutCheckpoint ? fallback(report) : ""}, or with --fresh to start over`;
    case "canceled":
      return `job ${report.job} was canceled (${facts})`;
    default:
      return `job ${report.job} is ${report.status} (${facts})`;
  }
}

/** Its last checkpoint was given up, or there was nothing to take one of. */
function fallback({ checkpoints: { latest } }: JobReport): string {
  return latest === null
    ? " from where it began, because no checkpoint has completed since"
    : ` from checkpoint ${latest.checkpointId}, because none has completed since`;
}

/** The first failure is the cause; what came later may be its consequence. */
function causeOfFailure(report: JobReport): string {
  const first = report.failures[0];
  const last = report.failures.at(-1);
  const cause = first === undefined ? "for no recorded reason" : `${first.where}: ${first.reason}`;
  const isOther = last !== undefined && kindOfReason(last.reason) !== kindOfReason(first?.reason ?? "");
  const later = !isOther ? "" : `\nand at last: ${last.where}: ${last.reason}`;
  const next = report.keepsState
    ? "Its state is kept: mend the cause and run it again to go on from the last checkpoint, or start over with --fresh"
    : 'Its state was deleted, as checkpointing.retention "delete" says: mend the cause and start over with --fresh';
  return `job ${report.job} failed: ${cause}${later}\n${next}`;
}
