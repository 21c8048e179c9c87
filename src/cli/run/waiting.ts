/** What a command says that waits for a job: now and then, what the job is doing and what is in its way. */
import { phaseInWords } from "../../../machines/words.ts";
import type { JobReport } from "../../control/messages.ts";
import { writeMessage } from "../output/advice.ts";
import { describeOthers } from "../stored/troubled-checkpoints.ts";

const EVERY_MS = 10_000;

export class WaitingLines {
  readonly #beganMs: number;
  #nextMs: number;

  /** @param nowMs of a monotonic clock, as everywhere here */
  constructor(nowMs: number) {
    this.#beganMs = nowMs;
    this.#nextMs = nowMs + EVERY_MS;
  }

  /** undefined: something was said not long ago. */
  news(report: JobReport, nowMs: number): string | undefined {
    if (nowMs < this.#nextMs) return undefined;
    this.#nextMs = nowMs + EVERY_MS;
    const { job, phase, waitingFor, troubles } = report;
    const facts = [
      ...(waitingFor === "" ? [] : [waitingFor]),
      ...pendingInWords(report),
      ...troubles.map(({ what, reason }) => `${what} (${reason})`),
    ];
    const details = facts.length === 0 ? "" : `: ${facts.join("; ")}`;
    const seconds = Math.round((nowMs - this.#beganMs) / 1000);
    return (
      `waiting for ${seconds} s; job ${job} is ${phaseInWords(phase)}${details}. ` +
      "Ctrl-C ends this command, not what it has asked for"
    );
  }
}

/** The checkpoints that are under way, and those that wait for their turn. */
export function pendingInWords({ checkpoints }: Pick<JobReport, "checkpoints">): string[] {
  const pending = checkpoints.pending.map(
    ({ checkpointId, acknowledged, subtasks }) =>
      `checkpoint ${checkpointId} has ${acknowledged} of ${subtasks} subtasks`,
  );
  return [...pending, ...describeOthers(checkpoints)];
}

/** Writes to standard error, so that a program can read what the command answers. */
export function sayWhileWaiting(): (report: JobReport) => void {
  const lines = new WaitingLines(performance.now());
  return (report) => {
    const line = lines.news(report, performance.now());
    if (line !== undefined) writeMessage(line);
  };
}
