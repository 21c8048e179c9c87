/** What `tidemark run` shows while a job runs: on a terminal one line that changes, elsewhere a line now and then. */
import { phaseInWords, reasonInWords } from "../../../machines/words.ts";
import type { JobReport } from "../../control/messages.ts";
import type { Trouble } from "../../dataflow/trouble.ts";
import { kindOfReason } from "../../observe/troubles.ts";
import { count, size } from "../output/text.ts";

const TERMINAL_EVERY_MS = 250;
const ELSEWHERE_EVERY_MS = 5000;
/** The rate is the mean over about this long. */
const RATE_WINDOW_MS = 3000;
const CLEAR_LINE = "\r\x1b[2K";

interface Sample {
  readonly atMs: number;
  readonly generation: number;
  readonly read: number;
}

/** Words for one report. */
export class ProgressText {
  readonly #sources: ReadonlySet<string>;
  readonly #samples: Sample[] = [];

  /** @param sources ids of the vertices that read input */
  constructor(sources: readonly string[]) {
    this.#sources = new Set(sources);
  }

  describe(report: JobReport, nowMs: number): string {
    const { generation, checkpoints, restarts, waitingFor } = report;
    const read = report.subtasks
      .filter(({ subtask }) => this.#sources.has(subtask.slice(0, subtask.lastIndexOf("/"))))
      .reduce((sum, { recordsIn }) => sum + recordsIn, 0);
    const rate = this.#rate({ atMs: nowMs, generation, read });
    const phase = phaseInWords(report.phase);
    const { latest } = checkpoints;
    return [
      waitingFor === "" ? phase : `waiting for ${waitingFor}`,
      `generation ${generation}: ${count(read)} records read, ${count(rate)}/s`,
      latest === null
        ? "no checkpoint yet"
        : `checkpoint ${latest.checkpointId} (${Math.round(latest.durationMs)} ms, ${size(latest.bytes)})`,
      ...(checkpoints.aborted === 0 ? [] : [`${checkpoints.aborted} aborted`]),
      ...(restarts === 0 ? [] : [restarts === 1 ? "1 restart" : `${restarts} restarts`]),
    ].join("  ");
  }

  #rate(now: Sample): number {
    const samples = this.#samples;
    // A new generation counts from 0 again.
    if (samples.at(-1)?.generation !== now.generation) samples.length = 0;
    samples.push(now);
    while (samples.length > 2 && now.atMs - samples[1]!.atMs >= RATE_WINDOW_MS) samples.shift();
    const first = samples[0]!;
    const passedMs = now.atMs - first.atMs;
    return passedMs <= 0 ? 0 : Math.max(0, Math.round(((now.read - first.read) * 1000) / passedMs));
  }
}

/** A failure that is told anyway, or a newer checkpoint, has made an end of it. */
const UNREMARKABLE: ReadonlySet<string> = new Set([reasonInWords("job-stopped"), reasonInWords("subsumed")]);

/**
 * Failures and aborted checkpoints that have not been told yet: a failure in the same words is told once, and so is an
 * abort of the same kind.
 */
export class TroubleText {
  readonly #told = new Set<string>();

  news(report: JobReport): string[] {
    const lines: string[] = [];
    const tell = (what: string, text: string, same = text) => {
      if (this.#told.has(same)) return;
      this.#told.add(same);
      lines.push(`${what}: ${text}`);
    };
    // A worker that is started again has another name.
    for (const { where, reason } of report.failures)
      tell("failure", `${where}: ${reason}`, `${where.replace(/^worker .*/, "worker")}: ${reason}`);
    const aborted = report.checkpoints.latestAborted;
    if (aborted !== null && !UNREMARKABLE.has(aborted.reason))
      tell(
        `checkpoint ${aborted.checkpointId} aborted, the job goes on`,
        aborted.reason,
        kindOfReason(aborted.reason),
      );
    return lines;
  }
}

/**
 * What is tried in vain, one line when it begins, when its reason becomes one of another kind, and when it passes. A
 * trouble comes over several roads (a worker tells its parent and its leader): it has passed when none of them shows it
 * any more.
 */
export class TroubleLines {
  readonly #shown = new Map<string, Set<string>>();
  readonly #bySource = new Map<string, readonly Trouble[]>();

  /** @param source whose list this is; its next one takes its place */
  news(source: string, troubles: readonly Trouble[]): string[] {
    this.#bySource.set(source, troubles);
    const lines: string[] = [];
    const present = [...this.#bySource.values()].flat();
    for (const { what, reason } of present) {
      const reasons = this.#shown.get(what) ?? new Set();
      this.#shown.set(what, reasons);
      const kind = kindOfReason(reason);
      if (reasons.has(kind)) continue;
      reasons.add(kind);
      lines.push(`trouble: ${what}, still tried: ${reason}`);
    }
    for (const what of [...this.#shown.keys()]) {
      if (present.some((trouble) => trouble.what === what)) continue;
      this.#shown.delete(what);
      lines.push(`trouble is over: ${what}`);
    }
    return lines;
  }
}

export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  /** Its reader has not taken what was written before. */
  readonly isBehind?: boolean;
  write(text: string): unknown;
}

/**
 * Lines that stay, and below them, on a terminal, one that is replaced. What the reader does not take is left out, and
 * counted.
 */
export class ProgressScreen {
  readonly #screen: Screen;
  readonly #everyMs: number;
  #shown = "";
  #leftOut = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(screen: Screen) {
    this.#screen = screen;
    this.#everyMs = screen.isTTY === true ? TERMINAL_EVERY_MS : ELSEWHERE_EVERY_MS;
  }

  say(line: string): void {
    if (this.#screen.isBehind === true) {
      this.#leftOut++;
      return;
    }
    const gap =
      this.#leftOut === 0 ? "" : `(lines not shown while the terminal took no output: ${this.#leftOut})\n`;
    this.#leftOut = 0;
    this.#screen.write(`${this.#cleared()}${gap}${line}\n${this.#shown}`);
  }

  /** @param line undefined: nothing to say yet */
  begin(line: () => string | undefined): void {
    this.#timer = setInterval(() => {
      const text = line();
      if (text === undefined) return;
      if (this.#screen.isTTY !== true) return this.say(text);
      if (this.#screen.isBehind === true) return;
      const fitting = text.slice(0, Math.max(20, (this.#screen.columns || 80) - 1));
      this.#screen.write(`${this.#cleared()}${fitting}`);
      this.#shown = fitting;
    }, this.#everyMs);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#screen.write(this.#cleared());
    this.#shown = "";
  }

  #cleared(): string {
    return this.#shown === "" ? "" : CLEAR_LINE;
  }
}
