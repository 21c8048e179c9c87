/** What is measured of the processes of a run, from outside: memory, lines of the logs, ends. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Role, TestCluster } from "../support/servers/cluster.ts";
import type { TestProcess } from "../support/servers/processes.ts";

const LOOK_EVERY_MS = 200;
const BACK_AFTER_MS = 300;
const BYTES_PER_KB = 1024;

/** Keeps one process of each name alive, as an orchestrator would, and looks at it. */
export class Watched {
  readonly #cluster: TestCluster;
  readonly #tell: (line: string) => void;
  readonly #processes = new Map<string, TestProcess>();
  /** By name. */
  #rssMbMax = new Map<string, number>();
  #over = false;

  constructor(cluster: TestCluster, names: readonly string[], tell: (line: string) => void) {
    this.#cluster = cluster;
    this.#tell = tell;
    for (const name of names) this.#start(name);
  }

  /** Looks at the memory until `isOver`. @returns the most of each process, in MB, by name */
  async rssMbMax(isOver: () => boolean): Promise<ReadonlyMap<string, number>> {
    this.#rssMbMax = new Map();
    do {
      for (const [name, { processId }] of this.#processes) {
        const mb = rssMb(processId);
        if (mb !== undefined) this.#rssMbMax.set(name, Math.max(mb, this.#rssMbMax.get(name) ?? 0));
      }
      await sleep(LOOK_EVERY_MS);
    } while (!isOver());
    return this.#rssMbMax;
  }

  /** The log lines of all processes together, since their beginning. */
  logLines(): string[] {
    const { processes } = this.#cluster;
    return [...this.#processes.keys()].flatMap((name) =>
      readFileSync(processes.logFile(name), "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => `${name}: ${line}`),
    );
  }

  /** How many have ended, which nothing had asked for. */
  crashes(): number {
    return this.#cluster.processes.exits.filter(({ asked }) => !asked).length;
  }

  /** From here on processes may end, and stay away. */
  end(): void {
    this.#over = true;
  }

  #start(name: string): void {
    const role: Role = name.startsWith("worker") ? "worker" : "coordinator";
    const process = this.#cluster.start(role, name);
    this.#processes.set(name, process);
    void process.exited.then(async ({ asked, code, signal }) => {
      if (asked || this.#over) return;
      this.#tell(`${name} has ended: ${signal ?? `exit code ${code}`}`);
      await sleep(BACK_AFTER_MS);
      if (!this.#over) this.#start(name);
    });
  }
}

function rssMb(processId: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${processId}/status`, "utf8");
    const kb = /^VmRSS:\s+(\d+)/m.exec(status)?.[1];
    return kb === undefined ? undefined : Math.round((Number(kb) * BYTES_PER_KB) / 1e6);
  } catch {
    return undefined;
  }
}
