/** What a worker that measures itself prints after each snapshot: how late its event loop was, in three situations. */

export interface LoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoopDelays {
  /** Before anything was deployed: what the machine itself does to a timer. */
  readonly idle: LoopDelay;
  /** Records, and no snapshot. */
  readonly running: LoopDelay;
  /** From the barrier until the snapshot is stored. */
  readonly snapshotting: LoopDelay;
}

const PREFIX = "loop ";

export function printLoopDelays(delays: LoopDelays): void {
  process.stdout.write(`${PREFIX}${JSON.stringify(delays)}\n`);
}

/** undefined: the line is something else. */
export function parseLoopDelays(line: string): LoopDelays | undefined {
  return line.startsWith(PREFIX) ? (JSON.parse(line.slice(PREFIX.length)) as LoopDelays) : undefined;
}
