/**
 * The main job as a show: real text, a real nats-server, two worker processes, one of which is killed on the way.
 * Exit code 0 only if nothing was lost, nothing was duplicated, and a worker was killed.
 */
import { fileURLToPath } from "node:url";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { SingleBar } from "cli-progress";
import { reportError } from "../../cli/output/report-error.ts";
import { commandOutput, prepareOutput } from "../../cli/output/stdout.ts";
import { endProcess } from "../../cli/process/exit.ts";
import { RunSession } from "../../cli/run/run-session.ts";
import { createLogger } from "../../observe/logger.ts";
import { type Input, LINES, loadInput, readInput } from "./input.ts";
import { checkOutput, type Outcome, watchOutput } from "./outcome.ts";

const KILL_AFTER_CHECKPOINTS = 3;
const SHOW_EVERY_MS = 200;
const json = process.argv.includes("--json");
const say = (line: string): void => void (json || commandOutput.write(`${line}\n`));

interface Show extends Outcome {
  readonly kills: number;
  readonly recoveries: number;
  readonly checkpointsCompleted: number;
  readonly checkpointsAborted: number;
  readonly recoveryMs: number;
  readonly recordsPerSecond: number;
}

/** What happens on the way, from the event feed and the output stream. */
class Plot {
  completed = 0;
  aborted = 0;
  kills = 0;
  recoveries = 0;
  killedAtMs = 0;
  recoveryMs = 0;
  startedAtMs = 0;
  endedAtMs = 0;
  #awaitingOutput = false;

  onEvent(
    event: { readonly event: string; readonly role: string; readonly to: string },
    kill: () => boolean,
  ): void {
    if (event.role === "job" && event.to.startsWith("running.processing")) {
      if (this.startedAtMs === 0) this.startedAtMs = performance.now();
      else if (this.kills > this.recoveries) {
        this.recoveries++;
        this.#awaitingOutput = true;
      }
    }
    if (event.role === "job" && event.to.startsWith("settling") && this.endedAtMs === 0)
      this.endedAtMs = performance.now();
    if (event.role === "checkpoint" && event.to === "aborted") this.aborted++;
    if (event.role !== "coordinator" || event.event !== "checkpoint.completed") return;
    this.completed++;
    if (this.completed === KILL_AFTER_CHECKPOINTS && kill()) {
      this.kills++;
      this.killedAtMs = performance.now();
    }
  }

  onOutput(): void {
    if (!this.#awaitingOutput) return;
    this.#awaitingOutput = false;
    this.recoveryMs = Math.round(performance.now() - this.killedAtMs);
  }
}

async function show(): Promise<Show> {
  say("reading the State of the Union addresses …");
  const input = readInput();
  const plot = new Plot();
  let session: RunSession | undefined;
  session = await RunSession.start({
    jobPath: fileURLToPath(new URL("./job.js", import.meta.url)),
    home: ".tidemark",
    flags: {
      prefix: "tidemark",
      logLevel: "info",
      connectTimeout: 30,
      config: ["checkpointing.interval=250 ms", "restart.initialBackoff=100 ms"],
      fresh: true,
      workers: 2,
    },
    logger: createLogger({ level: "warn", fields: { role: "demo" } }),
    say,
    async beforeSubmit(cluster) {
      say(`loading ${input.sentences.length.toLocaleString("en")} sentences into stream ${LINES} …`);
      await loadInput(cluster.nats.connection, input);
    },
    onEvent: (event) => plot.onEvent(event, () => killOneWorker(session)),
  });
  const { connection } = session.cluster.nats;
  const stopProgress = await showProgress(await jetstreamManager(connection), input);
  const stopWatching = await watchOutput(connection, () => plot.onOutput());
  try {
    const report = await session.ended();
    stopProgress();
    stopWatching();
    if (report.status !== "finished")
      throw new Error(`the job is ${report.status}: ${report.failures.at(-1)?.reason}`);
    const outcome = await checkOutput(connection, input);
    return {
      ...outcome,
      kills: plot.kills,
      recoveries: plot.recoveries,
      checkpointsCompleted: plot.completed,
      checkpointsAborted: plot.aborted,
      recoveryMs: plot.recoveryMs,
      recordsPerSecond: Math.round((outcome.words * 1000) / (plot.endedAtMs - plot.startedAtMs)),
    };
  } finally {
    stopProgress();
    await session.close();
  }
}

function killOneWorker(session: RunSession | undefined): boolean {
  const victim = session?.processIds("worker")[0];
  if (victim === undefined) return false;
  process.kill(victim, "SIGKILL");
  say(`\nkilled worker process ${victim} with SIGKILL`);
  return true;
}

/** The job's own progress consumers, as any NATS tool shows them: they move with each completed checkpoint. */
async function showProgress(manager: JetStreamManager, input: Input): Promise<() => void> {
  if (json) return () => {};
  const bar = new SingleBar({
    format: "{bar} {percentage}%  {value} of {total} sentences behind a completed checkpoint",
    hideCursor: true,
    noTTYOutput: !process.stdout.isTTY,
    notTTYSchedule: 2000,
  });
  bar.start(input.sentences.length, 0);
  let stopped = false;
  const timer = setInterval(() => void update().catch(() => undefined), SHOW_EVERY_MS);
  async function update(): Promise<void> {
    let pending = 0;
    let found = false;
    for await (const consumer of manager.consumers.list(LINES)) {
      if (!consumer.name.startsWith("tidemark-")) continue;
      found = true;
      pending += consumer.num_pending;
    }
    if (found && !stopped) bar.update(input.sentences.length - pending);
  }
  return () => {
    if (stopped) return;
    stopped = true;
    clearInterval(timer);
    bar.update(input.sentences.length);
    bar.stop();
  };
}

function print(shown: Show): void {
  if (json) {
    const { top: _, ...line } = shown;
    commandOutput.write(`${JSON.stringify(line)}\n`);
    return;
  }
  say("\nthe ten most frequent words");
  for (const { word, count } of shown.top)
    say(`  ${word.padEnd(8)} ${count.toLocaleString("en").padStart(9)}`);
  const rows: [string, string][] = [
    [
      "words counted",
      `${shown.words.toLocaleString("en")} (independent count: ${shown.expected.toLocaleString("en")})`,
    ],
    ["records lost", String(shown.lost)],
    ["records duplicated", String(shown.duplicated)],
    ["checkpoints", `${shown.checkpointsCompleted} completed, ${shown.checkpointsAborted} aborted`],
    ["workers killed", `${shown.kills}, recovered ${shown.recoveries} times`],
    ["kill to first new output", `${shown.recoveryMs} ms`],
    ["words per second", shown.recordsPerSecond.toLocaleString("en")],
  ];
  say("");
  for (const [name, value] of rows) say(`${name.padEnd(26)}${value}`);
}

prepareOutput();
try {
  const shown = await show();
  print(shown);
  const exact = shown.lost === 0 && shown.duplicated === 0 && shown.words === shown.expected;
  if (!exact) say("\nNOT exactly once");
  else if (shown.kills === 0) say("\nthe job ended before a worker could be killed; nothing is shown");
  await endProcess(exact && shown.kills > 0 ? 0 : 1);
} catch (error) {
  await endProcess(reportError(error));
}
