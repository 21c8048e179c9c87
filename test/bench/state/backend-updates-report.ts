/** What backend-updates.ts prints: processor time of an update in microseconds, and updates a second, each round. */

export interface BackendUpdates {
  readonly cpuUs: readonly number[];
  readonly perSecond: readonly number[];
}

const PREFIX = "backend ";

export function printBackendUpdates(updates: BackendUpdates): void {
  process.stdout.write(`${PREFIX}${JSON.stringify(updates)}\n`);
}

/** undefined: the line is something else. */
export function parseBackendUpdates(line: string): BackendUpdates | undefined {
  return line.startsWith(PREFIX) ? (JSON.parse(line.slice(PREFIX.length)) as BackendUpdates) : undefined;
}
