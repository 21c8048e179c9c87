/** What state-updates.ts prints: processor time of one update in nanoseconds, for each round. */

export interface StateUpdates {
  readonly stateNs: readonly number[];
  readonly mapNs: readonly number[];
}

const PREFIX = "updates ";

export function printStateUpdates(updates: StateUpdates): void {
  process.stdout.write(`${PREFIX}${JSON.stringify(updates)}\n`);
}

/** undefined: the line is something else. */
export function parseStateUpdates(line: string): StateUpdates | undefined {
  return line.startsWith(PREFIX) ? (JSON.parse(line.slice(PREFIX.length)) as StateUpdates) : undefined;
}
