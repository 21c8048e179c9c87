/**
 * What goes wrong, and when: drawn from the seed, one story line after the other.
 *
 * Owns: the faults and the mending of processes. Does not own: what the job makes of it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { TestServer } from "../../support/servers/nats.ts";
import type { TestProcess } from "../../support/servers/processes.ts";
import type { Random } from "../random.ts";

export interface FaultCounts {
  kills: number;
  stops: number;
  serverRestarts: number;
  serverFreezes: number;
}

export interface FaultTargets {
  readonly server: TestServer;
  readonly coordinators: readonly string[];
  readonly workers: readonly string[];
  start(name: string): TestProcess;
  /** One line for the story. */
  tell(line: string): void;
}

type Fault =
  | { readonly fault: "kill"; readonly name: string; readonly awayMs: number }
  | { readonly fault: "stop"; readonly name: string; readonly forMs: number }
  | { readonly fault: "server"; readonly downMs: number }
  /** The server answers nothing and closes nothing: outcomes are unknown. */
  | { readonly fault: "freeze"; readonly forMs: number };

const STOP_MS_MIN = 500;
const STOP_MS_MAX = 8000;

export class Faults {
  readonly counts: FaultCounts = { kills: 0, stops: 0, serverRestarts: 0, serverFreezes: 0 };
  readonly #targets: FaultTargets;
  readonly #random: Random;
  readonly #processes = new Map<string, TestProcess>();
  readonly #work = new Set<Promise<void>>();
  #end: AbortSignal = AbortSignal.abort();
  #serverDown = false;

  constructor(targets: FaultTargets, random: Random) {
    this.#targets = targets;
    this.#random = random;
    for (const name of [...targets.coordinators, ...targets.workers]) this.#start(name);
  }

  /**
   * Faults for so long, and one at least, or until `signal` aborts: on a busy machine the time may be up before the
   * first one. Resolves when everything that was down or asleep is back.
   */
  async run(ms: number, signal: AbortSignal): Promise<void> {
    const random = this.#random;
    const timeIsUp = new AbortController();
    const timer = setTimeout(() => timeIsUp.abort(), ms);
    const end = AbortSignal.any([signal, timeIsUp.signal]);
    this.#end = end;
    for (;;) {
      const isEnough = this.#total > 0;
      // The first one comes soon: a short run may be over before the longest pause is.
      await pause(random.between(300, isEnough ? 3700 : 900), isEnough ? end : signal);
      if (signal.aborted || (isEnough && end.aborted)) break;
      const atOnce = random.next() < 0.2 ? random.between(2, 3) : 1;
      for (let i = 0; i < atOnce; i++) this.#begin(this.#draw());
    }
    clearTimeout(timer);
    while (this.#work.size > 0) await Promise.all(this.#work);
    this.#targets.tell("all is mended");
  }

  get #total(): number {
    return Object.values(this.counts).reduce((sum: number, count: number) => sum + count, 0);
  }

  /** After a process ended by itself: as an orchestrator would. */
  #start(name: string): void {
    const process = this.#targets.start(name);
    this.#processes.set(name, process);
    void process.exited.then(async (exit) => {
      if (exit.asked) return;
      this.#targets.tell(`${name} ended by itself: ${exit.signal ?? `exit code ${exit.code}`}`);
      await pause(300, undefined);
      if (this.#processes.get(name) === process) this.#restart(name);
    });
  }

  #restart(name: string): void {
    try {
      this.#start(name);
    } catch (error) {
      this.#targets.tell(String(error));
    }
  }

  #draw(): Fault {
    const random = this.#random;
    const { coordinators, workers } = this.#targets;
    const kind = random.next();
    const name = random.next() < 0.65 ? random.pick(workers) : random.pick(coordinators);
    const awayMs = random.next() < 0.6 ? 0 : random.between(0, 1500);
    const forMs = random.between(STOP_MS_MIN, STOP_MS_MAX);
    const downMs = random.between(0, 2000);
    if (kind < 0.46) return { fault: "kill", name, awayMs };
    if (kind < 0.74) return { fault: "stop", name, forMs };
    if (kind < 0.9) return { fault: "server", downMs };
    return { fault: "freeze", forMs };
  }

  #begin(fault: Fault): void {
    const work = this.#perform(fault);
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  async #disturbServer(fault: Extract<Fault, { fault: "server" | "freeze" }>): Promise<void> {
    const { tell, server } = this.#targets;
    if (this.#serverDown) return;
    this.#serverDown = true;
    if (fault.fault === "freeze") {
      this.counts.serverFreezes++;
      tell(`freeze nats-server for ${fault.forMs} ms`);
      await server.kill("SIGSTOP");
      await pause(fault.forMs, this.#end);
      await server.kill("SIGCONT");
      tell("nats-server goes on");
    } else {
      this.counts.serverRestarts++;
      tell(`kill nats-server, back in ${fault.downMs} ms`);
      await server.kill();
      await pause(fault.downMs, this.#end);
      await server.restart();
      tell("nats-server is back");
    }
    this.#serverDown = false;
  }

  async #perform(fault: Fault): Promise<void> {
    const { tell } = this.#targets;
    if (fault.fault === "server" || fault.fault === "freeze") return this.#disturbServer(fault);
    const process = this.#processes.get(fault.name);
    if (process === undefined || !process.running) return;
    if (fault.fault === "kill") {
      this.counts.kills++;
      tell(`kill ${fault.name} (${process.processId}), back in ${fault.awayMs} ms`);
      await process.kill();
      await pause(fault.awayMs, this.#end);
      this.#restart(fault.name);
      return;
    }
    if (process.suspended) return;
    this.counts.stops++;
    tell(`stop ${fault.name} (${process.processId}) for ${fault.forMs} ms`);
    process.suspend();
    await pause(fault.forMs, this.#end);
    process.resume();
    if (process.running) tell(`continue ${fault.name} (${process.processId})`);
  }
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}
