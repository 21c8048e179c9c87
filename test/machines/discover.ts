/** Finds every machine of the engine: each file below `machines/` may export some `<name>Machine`. */
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import type { AnyStateMachine } from "xstate";

export interface Discovered {
  /** File name without its extension: `sink-transaction`. */
  readonly file: string;
  /** `sinkTransactionMachine` */
  readonly exportName: string;
  readonly machine: AnyStateMachine;
}

/** Sources under vitest, compiled files in `dist`: both lie two folders above this one. */
const MACHINES = new URL("../../machines/", import.meta.url);

export async function discoverMachines(): Promise<Discovered[]> {
  const files = readdirSync(MACHINES, { recursive: true, encoding: "utf8" }).filter((name) =>
    /(?<!\.d)\.[tj]s$/.test(name),
  );
  const found = await Promise.all(files.sort().map(machinesIn));
  return found.flat();
}

async function machinesIn(name: string): Promise<Discovered[]> {
  const exports: Record<string, unknown> = await import(new URL(name, MACHINES).href);
  const file = basename(name).replace(/\.[tj]s$/, "");
  return Object.entries(exports)
    .filter(([exportName]) => exportName.endsWith("Machine"))
    .map(([exportName, machine]) => ({ file, exportName, machine: machine as AnyStateMachine }));
}
