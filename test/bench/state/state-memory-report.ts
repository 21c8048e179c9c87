/** What state-memory.ts prints: how much memory state takes, in MB of 2^20 bytes. */

export interface StateMemory {
  readonly residentMb: number;
  readonly knownMb: number;
}

const PREFIX = "memory ";

export function printStateMemory(memory: StateMemory): void {
  process.stdout.write(`${PREFIX}${JSON.stringify(memory)}\n`);
}

/** undefined: the line is something else. */
export function parseStateMemory(line: string): StateMemory | undefined {
  return line.startsWith(PREFIX) ? (JSON.parse(line.slice(PREFIX.length)) as StateMemory) : undefined;
}
