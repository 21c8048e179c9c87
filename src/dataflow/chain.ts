/**
 * The wiring of one vertex in one subtask: its operators, as closures that call each other.
 *
 * Owns: the way of a record from operator to operator and out through edges, that of event time behind it, cutting and
 * restoring the keyed states of all operators at once, the end of input. Does not own: what an operator does with a
 * record (operators/), sources, frames, room, alignment, uploads (the subtask's), commits (the sink's).
 *
 * - OC1 A record has passed the whole chain when the head that took it returns: nothing is buffered here, nothing is
 *   asynchronous. An operator that holds records back is alone in its vertex, and tells what it holds (`held`). What a
 *   record leaves to do (`work`) is done before all else.
 * - OC2 A failure names the operator whose function failed (OP3). A failure of what is downstream passes through
 *   unchanged, and cannot be swallowed by the function that emitted.
 * - OC3 All keyed states are cut at the same record: `snapshot` is synchronous and never runs inside a head.
 * - OC4 What goes to another subtask, or to an operator behind keyBy, is a plain value, whether or not that one is in
 *   this process: so a job does the same with one worker and with many.
 * - OC5 Operators finish upstream first, and no cut falls between (P19).
 * - OC6 Event time comes to operators upstream first: what it causes at one has passed those behind it before they
 *   hear of it. Cuts may fall between two slices of that, and tell how far each operator was.
 * - OC7 A slice of what is due, or of the end of input, ends by its steps and by the clock. So users' functions that
 *   take some ms each hold the event loop and barriers up for a few of them only.
 *
 * Speed: one closure per operator, `(value, timestamp)`, no allocation and no promise for a record; see
 * test/bench/micro/state.ts.
 */
import type { WindowsPlan } from "../../machines/protocol.ts";
import { invariant } from "../errors.ts";
import type { SnapshotBytes, SnapshotCursor, StateRestorer } from "../state/contract.ts";
import type { KeyedState, OpenBackend, StoredVersion } from "../state/keyed-state.ts";
import { outputsOf, type WaysOut } from "./chain-outputs.ts";
import type { Vertex } from "./graph.ts";
import {
  DEFAULT_PORTS,
  type FormerWindowsPlan,
  type HeldRecords,
  type Opening,
  type OpenOperator,
  type OpenWait,
  type OpenWork,
  type OperatorDetails,
  type Slices,
} from "./operators/contract.ts";
import { figuresOf, type OperatorFigures } from "./operators/figures.ts";
import type { KeySelector } from "./operators/keyed/key-selector.ts";
import { servicesOf } from "./operators/services.ts";
import { doSome, withEnd } from "./operators/slices.ts";
import type { OperatorStates } from "./operators/unkeyed/operator-state.ts";
import type { SinkWriter } from "./sink.ts";
import type { Collect } from "./source.ts";
import { EventTime } from "./time/event-time.ts";
import { atTimeOfGroup } from "./time/group-times.ts";
import { type LateExample, Lateness } from "./time/lateness.ts";
import { type OperatorTime, restoreTimesOf, type TimedOperator, timesOf } from "./time/operator-times.ts";
import { NO_PROCESSING_TIME, type ProcessingTime } from "./time/processing-time.ts";
import { ReplayClock } from "./time/replay-clock.ts";

export interface ChainServices extends WaysOut {
  /** Cuts of keyed states may have bases (KeyedBackendOptions). Default false. */
  readonly keepsChanges?: boolean;
  readonly subtaskIndex: number;
  readonly maxParallelism: number;
  /** Where keyed state lies. Default: in the heap. */
  readonly openBackend?: OpenBackend | undefined;
  /** The opened writer of a sink of this vertex. */
  writer(operator: string): Pick<SinkWriter<unknown>, "write">;
  /** Default: there is none, and an operator that asks for it fails. */
  readonly processingTime?: ProcessingTime;
  /** Monotonic, in ms: ends slices in which users' functions are slow. Default: a slice ends by its steps alone. */
  elapsedMs?(): number;
  /** Told of a late record now and then (LN3). Default: none is told of. */
  late?(example: LateExample): void;
}

/** The address of a keyed state within a job. */
export interface StateAddress {
  readonly operator: string;
  readonly state: string;
}

/** Where stored rows belong, and what they are. */
export type StoredAddress = StateAddress & StoredVersion;

/** A state, and the version of its values. */
export type VersionedState = StateAddress & { readonly version: string };

export interface StateCut extends StateAddress {
  /** Its number: a later one may have it as its base. The restored state is number RESTORED_CUT. */
  readonly cut: number;
  readonly cursor: SnapshotCursor;
  /** The version of its values. Default "1". */
  readonly version?: string;
}

/** The windows that an operator had when its state was cut. */
export interface FormerWindows {
  readonly operator: string;
  readonly windows: WindowsPlan;
}

export interface Chain {
  /** The collectors of the first operator's ports: they take the records of the vertex, or what its source has read. */
  readonly heads: readonly Collect<unknown>[];
  readonly states: readonly StateAddress[];
  /** It has the state, or passes it over: the times of values that have no time to live any more. */
  takes(address: StateAddress): boolean;
  /** The states that belong to no key, by operator. They are cut and restored at once, without slices. */
  readonly operatorStates: OperatorStates;
  /** By operator. */
  readonly keyedStates: ReadonlyMap<string, KeyedState>;
  /**
   * Cuts every keyed state here. The cursors may then be read one after the other while records go on.
   * @param baseOf the number of an earlier cut of a state, since which its changes are asked for
   */
  snapshot(baseOf?: (address: VersionedState) => number | undefined): StateCut[];
  /**
   * Called before the first record. Several restorers for one address follow each other: the pieces of a rescaled
   * state.
   */
  restorer(address: StoredAddress, source: SnapshotBytes): StateRestorer;
  /**
   * Opens what the users' functions need, of all operators at once; called once, when the state is restored. Rejects
   * with the first failure.
   */
  open(opening: Pick<Opening, "clock" | "signal" | "troubles">): Promise<void>;
  /** What the chain's operator holds back. undefined: a record has passed the chain when its head returns (OC1). */
  readonly held: HeldRecords | undefined;
  /** The wait of a port of the first operator. undefined: none waits. */
  readonly wait: OpenWait | undefined;
  /** What records of a port of the first operator leave to do. undefined: none does. */
  readonly work: OpenWork | undefined;
  /** Some operator has to do at a watermark. */
  readonly reactsToTime: boolean;
  /** The operators that count something, upstream first. */
  figures(): OperatorFigures[];
  /** The times of the keyed operators that have one, as of this moment. */
  times(): OperatorTime[];
  /** Called before the first record and before `unfinishedTime`. Unknown operators are left out. */
  restoreTimes(times: readonly OperatorTime[]): void;
  /** The collector of a port whose records come by key, once the times are restored. */
  headFor(port: number, keyOf: KeySelector): Collect<unknown>;
  /** The restored state of these operators is of other windows than they have. Called before `restored`. */
  restoreWindows(former: readonly FormerWindows[]): void;
  /** The time that operators were working off at the restored cut; undefined: none. The caller advances to it first. */
  unfinishedTime(): number | undefined;
  /** Begins what operators make of restored state. Called once, behind all restorers and before all else. */
  restored(): Slices;
  /**
   * Begins what is due when event time comes to `time`; undefined: nothing was. Called with rising times. No record is
   * given to a head before it is done; room and the clock are looked at between two steps (P27).
   */
  advance(time: number, stepsAtATime?: number): Slices | undefined;
  /** All input has become idle: there is nothing left that was there before. Not called for what a cut tells of it. */
  becameIdle(): void;
  /** `advance` or `advanceProcessingTime` has begun something that is not done. */
  readonly isAdvancing: boolean;
  /**
   * Begins what is due when processing time has passed `timeMs`; undefined: nothing was, or the input has ended. Not
   * called while `isAdvancing`. No record is given to a head before it is done.
   */
  advanceProcessingTime(timeMs: number, stepsAtATime?: number): Slices | undefined;
  /**
   * Begins the end of input, after the last record; called once. The caller remembers in its snapshot that it was
   * called (P19), and looks at room and the clock between two steps (P27).
   */
  finish(stepsAtATime?: number): Slices;
  /**
   * Closes all operators and their states; called once, at any time. The first failure is thrown when all are closed.
   */
  close(): Promise<void>;
}

const STEPS_AT_A_TIME = 64;
/** A slice ends at the first look at the clock behind this. */
const SLICE_MS = 1;
/** The looks lie behind the steps 1, 2, 4, 8, 16, 24, …: a slow function shows early, and a quick one pays little. */
const STEPS_BETWEEN_LOOKS_MAX = 8;

interface NamedOperator {
  readonly id: string;
  readonly details: OperatorDetails;
  readonly open: OpenOperator;
  readonly time: EventTime;
  readonly lateness: Lateness;
  readonly former: FormerWindowsPlan;
  /** undefined: the operator has the worker's clock. */
  readonly replay: ReplayClock | undefined;
}

export function buildChain(vertex: Vertex, services: ChainServices): Chain {
  const { operators } = vertex;
  const opened: NamedOperator[] = new Array(operators.length);
  // The loop begins at the tail, because a closure needs the ones that it calls.
  for (let i = operators.length - 1; i >= 0; i--) {
    const { operator } = operators[i]!;
    invariant(
      i === 0 || operator.details.source === undefined,
      `source "${operator.id}" is not the first operator of its vertex`,
    );
    const outputs = outputsOf(vertex, i, opened, services);
    const time = new EventTime();
    const former: FormerWindowsPlan = { windows: undefined };
    const { processingTime = NO_PROCESSING_TIME } = services;
    const replay = operator.details.replayClock === undefined ? undefined : new ReplayClock(processingTime);
    const { elapsedMs = () => 0, late: tell = () => {} } = services;
    const lateness = new Lateness({ operator: operator.id, elapsedMs, tell });
    const parts = { time, former, processingTime: replay ?? processingTime, lateness };
    const open = operator.open(servicesOf(vertex, operator, parts, services), outputs);
    const { ports = DEFAULT_PORTS } = operator.details;
    invariant(
      open.inputs.length === ports.length,
      `operator "${operator.id}" opened ${open.inputs.length} inputs and has ${ports.length}`,
    );
    opened[i] = { id: operator.id, details: operator.details, open, time, lateness, former, replay };
  }
  invariant(
    opened.length === 1 || opened.every(({ open }) => open.held === undefined),
    `vertex "${vertex.id}" has an operator beside one that holds records back`,
  );
  invariant(opened.length > 0, `vertex "${vertex.id}" has no operators`);
  return new OperatorChain(opened, {
    place: { subtaskIndex: services.subtaskIndex, parallelism: vertex.parallelism },
    elapsedMs: services.elapsedMs ?? (() => 0),
  });
}

interface ChainSurroundings {
  readonly place: Pick<Opening, "subtaskIndex" | "parallelism">;
  readonly elapsedMs: () => number;
}

class OperatorChain implements Chain {
  readonly operatorStates: OperatorStates;
  readonly heads: readonly Collect<unknown>[];
  readonly states: readonly StateAddress[];
  readonly reactsToTime: boolean;
  readonly held: HeldRecords | undefined;
  readonly wait: OpenWait | undefined;
  readonly work: OpenWork | undefined;
  /** The operators, upstream first. */
  private readonly operators: readonly NamedOperator[];
  readonly keyedStates: ReadonlyMap<string, KeyedState>;
  private readonly keyed: readonly TimedOperator[];
  private readonly place: ChainSurroundings["place"];
  private end: "not reached" | "running" | "finished" = "not reached";
  private readonly elapsedMs: () => number;
  private advancing = false;

  constructor(operators: readonly NamedOperator[], { place, elapsedMs }: ChainSurroundings) {
    this.operators = operators;
    this.place = place;
    this.elapsedMs = elapsedMs;
    this.heads = operators[0]!.open.inputs;
    this.held = operators[0]!.open.held;
    this.wait = operators[0]!.open.wait;
    this.work = this.workOf(operators[0]!);
    this.reactsToTime = operators.some(({ open }) => open.advance !== undefined);
    this.operatorStates = new Map(
      operators.flatMap(({ id, open: { operatorState } }) =>
        operatorState === undefined ? [] : [[id, operatorState]],
      ),
    );
    this.keyed = operators.flatMap(({ id, time, replay, open: { state } }) =>
      state === undefined ? [] : [{ id, state, time, replay }],
    );
    this.keyedStates = new Map(this.keyed.map(({ id, state }) => [id, state]));
    this.states = this.keyed.flatMap(({ id, state }) =>
      state.stateNames.map((name) => ({ operator: id, state: name })),
    );
  }

  snapshot(baseOf: (address: VersionedState) => number | undefined = () => undefined): StateCut[] {
    invariant(this.end !== "running", "keyed state was cut between two slices of the end of input");
    return this.keyed.flatMap(({ id, state }) =>
      state
        .snapshot((name) => baseOf({ operator: id, state: name, version: state.versionOf(name) }))
        .map((named) => ({ operator: id, ...named, version: state.versionOf(named.state) })),
    );
  }

  takes({ operator, state }: StateAddress): boolean {
    return this.keyed.find(({ id }) => id === operator)?.state.takes(state) === true;
  }

  restorer(address: StoredAddress, source: SnapshotBytes): StateRestorer {
    const operator = this.keyed.find((candidate) => candidate.id === address.operator);
    invariant(operator !== undefined, `operator "${address.operator}" has no keyed state here`);
    return operator.state.restorer(address.state, source, address);
  }

  async open(opening: Pick<Opening, "clock" | "signal" | "troubles">): Promise<void> {
    await Promise.all(this.operators.map(({ open }) => open.open?.({ ...opening, ...this.place })));
  }

  figures(): OperatorFigures[] {
    return figuresOf(this.operators);
  }

  times(): OperatorTime[] {
    return timesOf(this.keyed);
  }

  restoreTimes(times: readonly OperatorTime[]): void {
    restoreTimesOf(this.keyed, times);
  }

  headFor(port: number, keyOf: KeySelector): Collect<unknown> {
    const head = this.heads[port]!;
    const first = this.keyed.find(({ id }) => id === this.operators[0]!.id);
    if (first?.time.ahead === undefined) return head;
    return atTimeOfGroup(head, first.time, keyOf, first.state.maxParallelism);
  }

  restoreWindows(former: readonly FormerWindows[]): void {
    for (const { operator, windows } of former) {
      const one = this.operators.find(({ id }) => id === operator);
      if (one !== undefined) one.former.windows = windows;
    }
  }

  unfinishedTime(): number | undefined {
    const unfinished = this.operators.filter(({ time }) => time.isWorkingOff);
    return unfinished.length === 0 ? undefined : Math.max(...unfinished.map(({ time }) => time.watermark));
  }

  get isAdvancing(): boolean {
    return this.advancing;
  }

  advance(time: number, stepsAtATime = STEPS_AT_A_TIME): Slices | undefined {
    return this.advanceAll((operator) => this.advanceOne(operator, time), stepsAtATime);
  }

  advanceProcessingTime(timeMs: number, stepsAtATime = STEPS_AT_A_TIME): Slices | undefined {
    if (this.end !== "not reached") return undefined;
    return this.advanceAll(({ open, replay }) => {
      replay?.taken();
      return open.advanceProcessingTime?.(replay === undefined ? timeMs : replay.nowMs() - 1);
    }, stepsAtATime);
  }

  becameIdle(): void {
    for (const { replay } of this.operators) replay?.caughtUp();
  }

  restored(): Slices {
    for (const { state } of this.keyed) state.isRestored();
    for (const { replay } of this.operators) replay?.goOn();
    const migrations = this.upstreamFirst(({ open }) => open.state?.migrate(), 1);
    const orders = this.upstreamFirst(({ open }) => open.restored?.(), 1);
    return { step: () => migrations.step() || orders.step() };
  }

  finish(stepsAtATime = STEPS_AT_A_TIME): Slices {
    invariant(this.end === "not reached", "the end of input was run twice");
    this.end = "running";
    const due = this.upstreamFirst((one) => this.advanceOne(one, Number.POSITIVE_INFINITY), stepsAtATime);
    const ends = this.upstreamFirst(({ open }) => open.finish?.(), stepsAtATime);
    return {
      step: () => {
        // It is done before, but for a loop, whose end is decided by its rounds.
        if (due.step() || ends.step()) return true;
        this.end = "finished";
        return false;
      },
    };
  }

  private workOf(first: NamedOperator): OpenWork | undefined {
    const { work } = first.open;
    if (work === undefined) return undefined;
    return {
      port: work.port,
      take: () => {
        const left = work.take();
        return left && this.upstreamFirst((one) => (one === first ? left : undefined), STEPS_AT_A_TIME);
      },
    };
  }

  private advanceAll(
    begin: (operator: NamedOperator) => Slices | undefined,
    stepsAtATime: number,
  ): Slices | undefined {
    invariant(!this.advancing, "what is due was begun twice at a time");
    const slices = this.upstreamFirst(begin, stepsAtATime);
    this.advancing = slices.step();
    if (!this.advancing) return undefined;
    return { step: () => (this.advancing = slices.step()) };
  }

  private advanceOne({ open, time, replay }: NamedOperator, to: number): Slices | undefined {
    if (time.watermark >= to && !time.isWorkingOff) return undefined;
    time.watermark = to;
    replay?.followed(to);
    const due = open.advance?.(to);
    time.isWorkingOff = due !== undefined;
    if (due === undefined) {
      time.hasCome();
      return undefined;
    }
    return withEnd(due, () => time.hasCome());
  }

  /**
   * The slices of all operators, one operator after the other. A step does several of them, up to a number and for
   * about a millisecond.
   */
  private upstreamFirst(
    begin: (operator: NamedOperator) => Slices | undefined,
    stepsAtATime: number,
  ): Slices {
    const { operators, elapsedMs } = this;
    let next = 0;
    let current: Slices | undefined;
    return {
      step() {
        const endMs = elapsedMs() + SLICE_MS;
        let look = 1;
        for (let steps = 0; steps < stepsAtATime; ) {
          if (current === undefined) {
            if (next === operators.length) return false;
            current = begin(operators[next++]!);
            continue;
          }
          const done = doSome(current, Math.min(look, stepsAtATime) - steps);
          if (done === 0) current = undefined;
          steps += done;
          if (done > 0 && steps === look) {
            if (elapsedMs() >= endMs) return true;
            look += Math.min(look, STEPS_BETWEEN_LOOKS_MAX);
          }
        }
        return true;
      },
    };
  }

  async close(): Promise<void> {
    const closings = this.operators.map(async ({ open, lateness }) => {
      lateness.close();
      try {
        await open.close?.();
      } finally {
        open.state?.close();
      }
    });
    const failed = (await Promise.allSettled(closings)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }
}
