/**
 * Virtual time: one queue of everything that will happen in all processes of a simulation, in an order that the seed
 * decides.
 *
 * Owns: the clock, the order of steps, the trace. Does not own: what is disturbed when (storm.ts), what travels
 * (surroundings.ts).
 *
 * - VS1 One step at a time: a timer, a turn or an arrival of one process, and then every promise that can settle by it.
 * - VS2 Nothing else happens: no step waits for real time or real I/O. So the same seed makes the same steps.
 * - VS3 What belongs to a process that is dead never happens; what belongs to one that is paused happens when it goes
 *   on, in order.
 * - VS4 Time does not stand still within a step: each look at the clock costs some of it, so turns end in other places.
 */
import { createHash } from "node:crypto";
import type { Clock, Timer } from "../../src/clock.ts";
import type { Random } from "../chaos/random.ts";
import type { Decisions } from "./decisions.ts";

interface Step {
  atMs: number;
  /** When it would happen if its process were not paused. */
  readonly dueMs: number;
  readonly order: number;
  readonly process: VirtualProcess;
  readonly what: string;
  readonly run: () => void;
  readonly keepsAlive: boolean;
  canceled: boolean;
}

const EPOCH_MS = 1_700_000_000_000;
/** A timer fires late by up to this much. */
const LATE_MS_MAX = 1;
const TURN_MS_MAX = 0.1;
const SLOW_TURN_MS_MAX = 5;
const LOOK_MS_MAX = 0.4;

export class Scheduler {
  readonly decisions: Decisions;
  /** The process whose step is under way. */
  current: VirtualProcess | undefined;
  steps = 0;
  #nowMs = 0;
  #order = 0;
  /** How many processes have had each name. */
  readonly #names = new Map<string, number>();
  /** A binary heap: the next step comes first. */
  readonly #queue: Step[] = [];
  readonly #trace = createHash("sha256");

  constructor(decisions: Decisions) {
    this.decisions = decisions;
  }

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  process(name: string): VirtualProcess {
    const nth = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, nth);
    return new VirtualProcess(this, `${name}${nth}`, this.decisions.stream(`${name}${nth}`));
  }

  /** Becomes part of the trace. */
  note(line: string): void {
    this.#trace.update(`${this.#nowMs} ${line}\n`);
  }

  /** The hash of all steps and notes so far. */
  traceHash(): string {
    return this.#trace.copy().digest("hex").slice(0, 16);
  }

  /** A look at the clock. */
  spend(random: Random): number {
    if (random.next() < 0.2) this.#nowMs += random.next() * LOOK_MS_MAX;
    return this.#nowMs;
  }

  /** What will still happen in this process and keeps it alive, in words. */
  waitingIn(process: VirtualProcess): string[] {
    return this.#queue
      .filter((step) => step.process === process && !step.canceled && step.keepsAlive)
      .map(({ what, atMs }) => `${what} at ${(atMs / 1000).toFixed(3)}`);
  }

  add(process: VirtualProcess, atMs: number, what: string, run: () => void, keepsAlive = true): Step {
    const step = { atMs, dueMs: atMs, order: ++this.#order, process, what, run, keepsAlive, canceled: false };
    this.#push(step);
    return step;
  }

  /**
   * Steps until `isOver`, or until no step is left, or `boundMs` of virtual time have passed. Answers whether it is
   * over.
   */
  async run(isOver: () => boolean, boundMs: number): Promise<boolean> {
    const endMs = this.#nowMs + boundMs;
    while (!isOver()) {
      if ((this.#queue[0]?.atMs ?? Number.POSITIVE_INFINITY) > endMs) return false;
      await this.#perform(this.#pop()!);
    }
    return true;
  }

  async #perform(step: Step): Promise<void> {
    const { process } = step;
    if (step.canceled || process.dead) return;
    if (process.pausedUntilMs > Math.max(this.#nowMs, step.atMs)) {
      step.atMs = process.pausedUntilMs;
      this.#push(step);
      return;
    }
    this.#nowMs = Math.max(this.#nowMs, step.atMs);
    this.steps++;
    this.note(`${process.name} ${step.what}`);
    this.current = process;
    step.run();
    // The platform settles every promise that can settle before it comes back here.
    await new Promise<void>((resolve) => void setImmediate(resolve));
    this.current = undefined;
  }

  #push(step: Step): void {
    const queue = this.#queue;
    let at = queue.push(step) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(step, queue[above]!)) break;
      queue[at] = queue[above]!;
      at = above;
    }
    queue[at] = step;
  }

  #pop(): Step | undefined {
    const queue = this.#queue;
    const first = queue[0];
    const last = queue.pop();
    if (first === undefined || last === undefined || queue.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= queue.length) break;
      if (below + 1 < queue.length && isBefore(queue[below + 1]!, queue[below]!)) below++;
      if (!isBefore(queue[below]!, last)) break;
      queue[at] = queue[below]!;
      at = below;
    }
    queue[at] = last;
    return first;
  }
}

/** What was kept waiting comes in the order in which it was due, however often it was (VS3). */
const isBefore = (a: Step, b: Step): boolean =>
  (a.atMs - b.atMs || a.dueMs - b.dueMs || a.order - b.order) < 0;

/** The time of one process, which may be paused, and is no more once it is dead. */
export class VirtualProcess implements Clock {
  readonly name: string;
  dead = false;
  pausedUntilMs = 0;
  /** How far its wall clock is off. */
  offsetMs = 0;
  readonly #scheduler: Scheduler;
  readonly #random: Random;

  constructor(scheduler: Scheduler, name: string, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.name = name;
  }

  /** Ids are as long as real ones, and as random as the seed. */
  readonly newId = (): string => this.#word() + this.#word();

  /** In [-1, 1). */
  readonly chance = (): number => this.#random.next() * 2 - 1;

  #word(): string {
    return Math.floor(this.#random.next() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.#scheduler.spend(this.#random) + this.offsetMs);
  }

  elapsedMs(): number {
    return this.#scheduler.spend(this.#random);
  }

  after(ms: number, run: () => void, keepsAlive = true): Timer {
    if (ms === Number.POSITIVE_INFINITY) return { cancel: () => {} };
    const atMs = this.#scheduler.nowMs + Math.max(0, ms) + this.#random.next() * LATE_MS_MAX;
    const step = this.#scheduler.add(this, atMs, "timer", run, keepsAlive);
    return {
      cancel: () => {
        step.canceled = true;
      },
    };
  }

  later(run: () => void): void {
    const most = this.#random.next() < 0.02 ? SLOW_TURN_MS_MAX : TURN_MS_MAX;
    this.#scheduler.add(this, this.#scheduler.nowMs + this.#random.next() * most, "turn", run);
  }

  /** Resolves in a step of its own, `ms` from now. Never, once the process is dead. */
  passes(ms: number, what: string): Promise<void> {
    return new Promise((resolve) => this.#scheduler.add(this, this.#scheduler.nowMs + ms, what, resolve));
  }

  /** Runs `act` in a step of this process. */
  acts(what: string, act: () => void): void {
    this.#scheduler.add(this, this.#scheduler.nowMs, what, act);
  }
}
