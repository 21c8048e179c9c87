/**
 * How fast records pass one point of a job: marks of (time, records) on standard output, and the rate between two of
 * them. Counted inside the measured process, so that neither starting up nor asking falls into the figure.
 */

export interface Mark {
  /** Wall clock in ms. */
  readonly t: number;
  readonly records: number;
  /** Processor time of the process so far, in microseconds. */
  readonly cpuUs: number;
}

const RECORDS_PER_MARK = 8192;
const PREFIX = "mark ";

export class Progress {
  #records = 0;
  #next = RECORDS_PER_MARK;

  /** Costs an addition and a comparison. */
  count(): void {
    if (++this.#records >= this.#next) this.mark();
  }

  mark(): void {
    this.#next = this.#records + RECORDS_PER_MARK;
    const { user, system } = process.cpuUsage();
    const t = performance.timeOrigin + performance.now();
    const mark: Mark = { t, records: this.#records, cpuUs: user + system };
    process.stdout.write(`${PREFIX}${JSON.stringify(mark)}\n`);
  }
}

/** undefined: the line is something else. */
export function parseMark(line: string): Mark | undefined {
  return line.startsWith(PREFIX) ? (JSON.parse(line.slice(PREFIX.length)) as Mark) : undefined;
}

/** The first quarter is warm-up; the very end belongs to whichever process has fallen behind. */
const STEADY_FROM = 0.25;
const STEADY_TO = 0.95;

export interface Pace {
  readonly recordsPerSecond: number;
  /** Processor time of the measured processes for one record, the server's not included. */
  readonly cpuUsPerRecord: number;
}

/** The pace of all processes together while they were between 25 % and 95 % of `records`. */
export function steadyPace(processes: readonly (readonly Mark[])[], records: number): Pace {
  const times = [...new Set(processes.flatMap((marks) => marks.map((mark) => mark.t)))].sort((a, b) => a - b);
  const total = (t: number) => sumAt(processes, t, "records");
  const from = times.find((t) => total(t) >= records * STEADY_FROM);
  const to = times.find((t) => total(t) >= records * STEADY_TO);
  if (from === undefined || to === undefined || to <= from) {
    throw new Error(`only ${total(times.at(-1) ?? 0)} of ${records} records were seen`);
  }
  const passed = total(to) - total(from);
  const cpuUs = sumAt(processes, to, "cpuUs") - sumAt(processes, from, "cpuUs");
  return { recordsPerSecond: (passed * 1000) / (to - from), cpuUsPerRecord: cpuUs / passed };
}

/** Records a second of a whole run: from the first mark to `endedAtMs`. */
export function wholePace(
  processes: readonly (readonly Mark[])[],
  records: number,
  endedAtMs: number,
): number {
  const began = Math.min(...processes.flatMap((marks) => marks.map((mark) => mark.t)));
  return ((records - sumAt(processes, began, "records")) * 1000) / (endedAtMs - began);
}

/** The progress of all processes together, at a moment. */
export function sumAt(
  processes: readonly (readonly Mark[])[],
  t: number,
  field: "records" | "cpuUs",
): number {
  return processes.reduce((sum, marks) => sum + valueAt(marks, t, field), 0);
}

/** Between two marks a straight line. */
function valueAt(marks: readonly Mark[], t: number, field: "records" | "cpuUs"): number {
  let before: Mark | undefined;
  for (const mark of marks) {
    if (mark.t > t) {
      if (before === undefined) return 0;
      return before[field] + ((mark[field] - before[field]) * (t - before.t)) / (mark.t - before.t);
    }
    before = mark;
  }
  return before?.[field] ?? 0;
}
