/**
 * The turns of one subtask: each takes input, runs it through the chain, and gives the event loop back after a few ms.
 *
 * Owns: turns, backpressure, when buffers are flushed. Does not own: what barriers and ends mean (the machines).
 *
 * TN1  No input is taken while an output or a sink has no room; so a slow reader slows its writers, up to the
 *     source.
 * TN2  A turn takes records for about 1.5 ms, then gives the works beside them up to 2 ms each, until one of them does
 *     not have to wait; each may take one unit of work longer. Then the event loop is given back (`Clock.later`), so
 *     that pings, timers and uploads live.
 * TN3  No barrier is handled between two slices of the end of input (P19), or of what a record has left to do (P92),
 *     nor before input flows: a trigger that overtakes the start of its generation waits for it, since the leader does
 *     not repeat what was answered.
 * TN4  While the input is held, none is taken, and no timer fires; barriers that are only noticed and snapshots go on.
 * TN5  Whatever throws in a turn ends the subtask; nothing is processed afterwards.
 * TN6  Processing-time timers fire in place of records, under the same conditions; barriers pass between two of them.
 * TN7  What an operator holds back goes out in place of input; barriers pass between two steps of that. No input is
 *     taken while it has no room, and the input has not ended before all has gone out; barriers go on, for what is held
 *     is in the snapshot.
 */
import type { Clock } from "../../../clock.ts";
import type { HeldRecords, Slices } from "../../../dataflow/operators/contract.ts";
import type { EdgeOutput } from "../../../dataflow/output.ts";
import type { Room } from "../../../dataflow/room.ts";

/** The input of a turn: a source reader or an input gate. */
export interface TurnInput {
  /**
   * Takes a little: at most one frame or a few hundred records. "ended" is answered once; barriers may still follow.
   */
  take(): "more" | "idle" | "ended";
  /** Takes a barrier that no record lies in front of; false: there is none. */
  takeBarrier(): boolean;
  onAvailable(wake: () => void): void;
}

/** What is done beside the records, a slice at a time. */
export interface TurnWork {
  /** Works until the deadline, a time of `Clock.elapsedMs`. "waiting": goes on after `wake`. */
  step(deadlineMs: number): "more" | "waiting" | "done";
}

/** What is due at some time, and done in place of input. */
export interface TurnTimers {
  readonly isDue: boolean;
  /** Does a little of what is due. */
  step(): void;
  onDue(wake: () => void): void;
}

/** What keeps a subtask from taking input: the job's stop, what is behind it, or requests that fill the operator. */
export type InputObstacle = "stopped" | "noRoom" | "requests";

export interface TurnsOptions {
  readonly input: TurnInput;
  readonly timers: TurnTimers;
  readonly clock: Clock;
  /** The outputs and sinks that take the records: all of them must have room (TN1). */
  readonly rooms: readonly Room[];
  /** What the operator of the subtask holds back. Default: nothing. */
  readonly held?: HeldRecords | undefined;
  /** The rooms in which records wait for their frame. */
  readonly outputs: readonly Pick<EdgeOutput, "flush">[];
  /** Records wait for their frame at most about this long. */
  readonly flushMs: number;
  /** A turn has taken a second or more: a function held the event loop. Default: it is not told. */
  readonly onHeld?: (tookMs: number) => void;
  readonly onEnded: () => void;
  readonly onFailure: (error: unknown) => void;
}

const TURN_MS = 1.5;
/** A turn that takes so long is told to the user: heartbeats were not answered meanwhile. */
const HELD_MS = 1000;
/** A snapshot's share of a turn grows with its age, else it would wait for turns. */
const SNAPSHOT_SLICE_MS_MIN = 1;
const SNAPSHOT_SLICE_MS_MAX = 2;
const SNAPSHOT_SLICE_GROWTH_MS = 50;

export class Turns {
  readonly #options: TurnsOptions;
  readonly #clock: Clock;
  /** What runs at the next border between two records, in order. */
  readonly #requests: (() => void)[] = [];
  #started = false;
  /** true: no input is taken (TN4). */
  #held = false;
  /** How long turns took, all in all. */
  #busyMs = 0;
  #backPressuredMs = 0;
  /** Since when there is no room; undefined: there is. */
  #lackedSinceMs: number | undefined;
  /** What the last look at the rooms has shown. A report asks for this only: the question itself sends what waits. */
  #lacksRoom = false;
  #scheduled = false;
  #closed = false;
  /** The works in the order in which they were begun; the first that is not waiting gets the slice. */
  #works: { readonly work: TurnWork; readonly startedMs: number }[] = [];
  #instead: { readonly slices: Slices; readonly done: () => void } | undefined;
  #flushedMs = 0;
  /** The input has told its end, and not all that is held has gone out. */
  #inputEnded = false;

  constructor(options: TurnsOptions) {
    this.#options = options;
    this.#clock = options.clock;
    const wake = () => this.wake();
    options.input.onAvailable(wake);
    options.timers.onDue(wake);
    options.held?.onReady(wake);
    for (const room of options.rooms) room.onRoom(wake);
  }

  /** Lets input flow from here on. */
  start(): void {
    this.#started = true;
    this.wake();
  }

  /** Takes no input until `release`. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.wake();
  }

  /** Why no input is taken at present; undefined: nothing is in the way. */
  get obstacle(): InputObstacle | undefined {
    const { held } = this.#options;
    if (this.#held) return "stopped";
    if (this.#lacksRoom) return "noRoom";
    return held === undefined || held.hasRoom() ? undefined : "requests";
  }

  /** What became of the time since the first turn; the rest was spent on waiting for input. */
  get load(): { readonly busyMs: number; readonly backPressuredMs: number } {
    const sinceMs = this.#lackedSinceMs;
    const lackingMs = sinceMs === undefined ? 0 : this.#clock.elapsedMs() - sinceMs;
    return { busyMs: this.#busyMs, backPressuredMs: this.#backPressuredMs + lackingMs };
  }

  wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    this.#clock.later(this.#turn);
  }

  /** `run` is called between two records, and neither within the end of input nor within what one has left (TN3). */
  atBorder(run: () => void): void {
    this.#requests.push(run);
    this.wake();
  }

  /** Runs `work` in slices until it is done or dropped. */
  beginWork(work: TurnWork): void {
    this.#works.push({ work, startedMs: this.#clock.elapsedMs() });
    this.wake();
  }

  dropWork(work: TurnWork): void {
    this.#works = this.#works.filter((one) => one.work !== work);
  }

  /** Does `slices` in place of input, asking for room in between (P27): the end of input, or what a record has left. */
  insteadOfInput(slices: Slices, done: () => void): void {
    this.#instead = { slices, done };
    this.wake();
  }

  close(): void {
    this.#closed = true;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#closed) return;
    try {
      const startedMs = this.#clock.elapsedMs();
      let busy = this.#runRequests();
      busy = this.#process(startedMs + TURN_MS) || busy;
      const tookMs = this.#clock.elapsedMs() - startedMs;
      if (tookMs >= HELD_MS) this.#options.onHeld?.(tookMs);
      busy = this.#sliceWork() || busy;
      this.#flush(busy);
      this.#busyMs += this.#clock.elapsedMs() - startedMs;
      if (busy) this.wake();
    } catch (error) {
      this.close();
      this.#options.onFailure(error);
    }
  };

  #runRequests(): boolean {
    if (!this.#started || this.#instead !== undefined) return false;
    let ran = false;
    for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
      request();
      ran = true;
      if (this.#instead !== undefined) break;
    }
    return ran;
  }

  #hasRoom(): boolean {
    const { rooms } = this.#options;
    this.#lacksRoom = false;
    for (let i = 0; i < rooms.length && !this.#lacksRoom; i++) this.#lacksRoom = !rooms[i]!.hasRoom();
    if (this.#lacksRoom !== (this.#lackedSinceMs !== undefined)) this.#noteRoom();
    return !this.#lacksRoom;
  }

  #noteRoom(): void {
    const nowMs = this.#clock.elapsedMs();
    if (this.#lackedSinceMs !== undefined) this.#backPressuredMs += nowMs - this.#lackedSinceMs;
    this.#lackedSinceMs = this.#lacksRoom ? nowMs : undefined;
  }

  #process(deadlineMs: number): boolean {
    for (;;) {
      if (this.#instead !== undefined) {
        if (!this.#hasRoom()) return false;
        if (!this.#instead.slices.step()) {
          const { done } = this.#instead;
          this.#instead = undefined;
          done();
          return true;
        }
      } else {
        if (!this.#started || this.#held) return false;
        if (this.#requests.length > 0) return true;
        if (!this.#hasRoom()) return false;
        const status = this.#takeOrFire();
        if (status === "idle") return false;
        if (status === "ended") {
          this.#options.onEnded();
          return true;
        }
      }
      if (this.#clock.elapsedMs() >= deadlineMs) return true;
    }
  }

  #takeOrFire(): "more" | "idle" | "ended" {
    const { input, timers, held } = this.#options;
    if (timers.isDue) {
      if (!input.takeBarrier()) timers.step();
      return "more";
    }
    return held === undefined ? input.take() : this.#takeOrSendOut(held);
  }

  #takeOrSendOut(held: HeldRecords): "more" | "idle" | "ended" {
    const { input } = this.#options;
    if (input.takeBarrier()) return "more";
    if (held.step()) return "more";
    if (this.#inputEnded && held.isEmpty) {
      this.#inputEnded = false;
      return "ended";
    }
    if (!held.hasRoom()) return input.takeBarrier() ? "more" : "idle";
    const status = input.take();
    if (status !== "ended") return status;
    this.#inputEnded = true;
    return "more";
  }

  #sliceWork(): boolean {
    for (const { work, startedMs } of this.#works) {
      const nowMs = this.#clock.elapsedMs();
      const sliceMs = SNAPSHOT_SLICE_MS_MIN + (nowMs - startedMs) / SNAPSHOT_SLICE_GROWTH_MS;
      const status = work.step(nowMs + Math.min(sliceMs, SNAPSHOT_SLICE_MS_MAX));
      if (status === "waiting") continue;
      if (status === "done") this.dropWork(work);
      return status === "more" || this.#works.length > 0;
    }
    return false;
  }

  /** Flushes at once when there is nothing else to do, else every `flushMs`. */
  #flush(busy: boolean): void {
    const { outputs, flushMs } = this.#options;
    if (outputs.length === 0) return;
    const nowMs = this.#clock.elapsedMs();
    if (busy && nowMs - this.#flushedMs < flushMs) return;
    this.#flushedMs = nowMs;
    for (let i = 0; i < outputs.length; i++) outputs[i]!.flush();
  }
}
