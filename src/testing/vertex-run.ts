/**
 * One vertex of the job under test: its chain, and what comes in from the vertices in front of it.
 *
 * Owns: the order of what comes in, event time on its way through the chain, its cut. Does not own: which vertex has
 * its turn (harness.ts), what operators do (dataflow/).
 *
 * - VR1 What one edge brings is taken in the order in which it was sent; nothing is taken while the operator has no
 *   room.
 * - VR2 The vertices behind hear of a watermark when all that it causes here has been handed on.
 */
import type { OperatorStateHandle } from "../../machines/protocol.ts";
import type { Clock } from "../clock.ts";
import { buildChain, type Chain } from "../dataflow/chain.ts";
import type { Edge, Vertex } from "../dataflow/graph.ts";
import type { Slices } from "../dataflow/operators/contract.ts";
import { PortWait } from "../dataflow/operators/joins/port-wait.ts";
import { operatorStateHandles, restoreOperatorStates } from "../dataflow/operators/unkeyed/operator-state.ts";
import type { OperatorTime } from "../dataflow/time/operator-times.ts";
import { AT_ONCE } from "../dataflow/time/processing-time.ts";
import { type SenderTime, WatermarkCombiner } from "../dataflow/time/watermark-combiner.ts";
import { ConfigurationError } from "../errors.ts";
import { decodeValue, encodeValue } from "../formats/codec.ts";
import {
  isDroppedWindow,
  isFormerState,
  unfinishedWindows,
  type WindowMigration,
} from "../job/restore/window-migrations.ts";

/** What an edge brings, or the test. */
export type Arrival =
  | {
      readonly kind: "record";
      /** -1: it is fed back. */
      readonly sender: number;
      readonly port: number;
      readonly value: unknown;
      readonly timestamp: number;
    }
  | { readonly kind: "mark"; readonly sender: number; readonly watermark: number; readonly isIdle: boolean }
  | { readonly kind: "end"; readonly sender: number };

export interface StoredVertex {
  readonly times: readonly OperatorTime[];
  readonly states: readonly {
    readonly operator: string;
    readonly state: string;
    readonly version?: string;
    readonly bytes: Uint8Array;
  }[];
  readonly operatorStates: readonly OperatorStateHandle[];
  readonly reached: number;
  readonly senders: readonly SenderTime[];
  readonly ended: readonly boolean[];
  readonly isFinished: boolean;
  /** What has come in and was not taken. */
  readonly arrivals: Uint8Array;
}

export interface VertexSurroundings {
  readonly maxParallelism: number;
  readonly clock: Clock;
  output(edge: string, value: unknown, timestamp: number): void;
  mark(edge: string, watermark: number, isIdle: boolean): void;
  end(edge: string): void;
  written(sink: string, value: unknown, timestamp: number): void;
}

export interface RestoredVertex extends StoredVertex {
  /** What becomes of former windows in the whole job, by operator. */
  readonly migrations: ReadonlyMap<string, WindowMigration>;
}

export class VertexRun {
  readonly vertex: Vertex;
  readonly chain: Chain;
  readonly #surroundings: VertexSurroundings;
  readonly #senders: WatermarkCombiner;
  /** By sender. */
  readonly #ended: boolean[];
  readonly #ports: readonly number[];
  /** The wait of a port for what another one brings. */
  #wait: PortWait | undefined;
  #arrivals: Arrival[] = [];
  #reached = Number.NEGATIVE_INFINITY;
  #finished = false;
  /** The processing time that an operator has asked for. */
  #wakeAtMs = Number.POSITIVE_INFINITY;

  /**
   * @param ports of the senders: the edges that lead here, without those that lead back to a loop; the test is that of
   * a source
   */
  constructor(vertex: Vertex, ports: readonly number[], surroundings: VertexSurroundings) {
    this.vertex = vertex;
    this.#surroundings = surroundings;
    this.#ports = ports;
    this.#senders = new WatermarkCombiner(ports.length);
    this.#ended = new Array<boolean>(ports.length).fill(false);
    this.chain = buildChain(vertex, {
      subtaskIndex: 0,
      maxParallelism: surroundings.maxParallelism,
      output: (edge) => (value, timestamp) => surroundings.output(edge, value, timestamp),
      mark: (edge, watermark, isIdle) => surroundings.mark(edge, watermark, isIdle),
      writer: (sink) => ({ write: (value, timestamp) => surroundings.written(sink, value, timestamp) }),
      processingTime: {
        nowMs: () => surroundings.clock.nowMs(),
        wakeAt: (timeMs) => {
          this.#wakeAtMs = Math.min(this.#wakeAtMs, timeMs);
        },
      },
      checks: true,
    });
  }

  async open(stored: RestoredVertex | undefined, signal: AbortSignal): Promise<void> {
    if (stored !== undefined) this.#restore(stored);
    const { wait } = this.chain;
    const hasEnded = (sender: number) => this.#ended[sender] === true;
    if (wait !== undefined)
      this.#wait = new PortWait({ wait, ports: this.#ports, senders: this.#senders, hasEnded });
    finish(this.chain.restored());
    if (this.#finished) return;
    const troubles = { watch: () => ({ failed() {}, passed() {}, forget() {} }) };
    await this.chain.open({ clock: this.#surroundings.clock, signal, troubles });
  }

  /** The watermark that the test or the vertices in front have told. */
  get watermark(): number {
    return this.#senders.watermark;
  }

  get hasEnded(): boolean {
    return this.#ended.every((ended) => ended);
  }

  get arrivals(): number {
    return this.#arrivals.length;
  }

  /** A port of the operator waits for what another one brings. */
  get isWaiting(): boolean {
    return this.#wait?.isOver === false;
  }

  /** When the first timer of processing time fires, a time in ms. */
  get dueMs(): number {
    return this.#wakeAtMs + 1;
  }

  arrive(arrival: Arrival): void {
    this.#arrivals.push(arrival);
  }

  /** Takes what has come in and sends out what is ready. Answers whether there was anything. */
  run(): boolean {
    const { held } = this.chain;
    let ran = false;
    while (held?.step()) ran = true;
    while (held?.hasRoom() !== false) {
      const next = this.#next();
      if (next === undefined) break;
      this.#take(next);
      if (this.#wakeAtMs === AT_ONCE) this.fireProcessingTime(this.#surroundings.clock.nowMs());
      ran = true;
      while (held?.step());
    }
    return ran;
  }

  /** The input has ended and nothing is left in front of the end. Answers whether the end was worked off now. */
  finishIfEnded(): boolean {
    if (this.#finished || !this.hasEnded || this.#arrivals.length > 0 || this.chain.held?.isEmpty === false)
      return false;
    this.#finished = true;
    finish(this.chain.finish());
    for (const edge of edgesOf(this.vertex)) this.#surroundings.end(edge);
    return true;
  }

  fireProcessingTime(nowMs: number): void {
    if (this.dueMs > nowMs) return;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    finish(this.chain.advanceProcessingTime(nowMs - 1));
  }

  snapshot(): StoredVertex {
    return {
      times: structuredClone(this.chain.times()),
      states: this.chain.snapshot().map(({ operator, state, cursor, version }) => {
        const chunks: Uint8Array[] = [];
        for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
        return { operator, state, ...(version && { version }), bytes: Buffer.concat(chunks) };
      }),
      operatorStates: operatorStateHandles(this.chain.operatorStates, 0),
      reached: this.#reached,
      senders: this.#ended.map((_, sender) => this.#senders.sender(sender)),
      ended: this.#ended.slice(),
      isFinished: this.#finished,
      arrivals: encodeValue(this.#arrivals),
    };
  }

  #restore(stored: RestoredVertex): void {
    const { migrations } = stored;
    this.chain.restoreTimes(stored.times);
    this.chain.restoreWindows(
      [...migrations].flatMap(([operator, { former }]) =>
        former === undefined ? [] : [{ operator, windows: former }],
      ),
    );
    for (const { bytes, ...address } of stored.states) {
      const { operator, state } = address;
      const { ownStates } =
        this.vertex.operators.find((one) => one.operator.id === operator)?.operator.details ?? {};
      if (isDroppedWindow({ kind: "keyed", ...address }, migrations)) continue;
      if (ownStates === true && bytes.byteLength === 0) continue;
      if (!this.chain.takes(address))
        throw new ConfigurationError(
          "restore",
          isFormerState(state)
            ? `restore: ${unfinishedWindows(operator)}`
            : `restore: the snapshot holds state "${state}" of operator "${operator}", which this job does not have`,
        );
      if (bytes.byteLength === 0) continue;
      const restorer = this.chain.restorer(address, { object: "the harness's snapshot", bytes });
      while (restorer.next());
    }
    restoreOperatorStates(this.chain.operatorStates, stored.operatorStates);
    for (const [sender, time] of stored.senders.entries()) this.#senders.restore(sender, time);
    this.#senders.restored(stored.reached);
    for (const [sender, ended] of stored.ended.entries()) {
      this.#ended[sender] = ended;
      if (ended) this.#senders.finished(sender);
    }
    this.#reached = stored.reached;
    this.#finished = stored.isFinished;
    this.#arrivals = decodeValue(stored.arrivals) as Arrival[];
  }

  #next(): Arrival | undefined {
    const held = this.#wait?.held ?? [];
    const at = this.#arrivals.findIndex(({ sender }) => !held.includes(sender));
    return at < 0 ? undefined : this.#arrivals.splice(at, 1)[0];
  }

  #take(arrival: Arrival): void {
    if (arrival.kind === "record") {
      if (arrival.sender >= 0 && this.#senders.senderIsIdle(arrival.sender)) {
        this.#senders.spoke(arrival.sender);
        this.#follow();
      }
      this.chain.heads[arrival.port]!(arrival.value, arrival.timestamp);
      finish(this.chain.work?.take());
      this.#wait?.processed(arrival.sender);
      return;
    }
    const { sender } = arrival;
    if (arrival.kind === "end") {
      this.#ended[sender] = true;
      this.#senders.finished(sender);
    } else {
      this.#senders.advanced(sender, arrival.watermark);
      if (arrival.isIdle) this.#senders.becameIdle(sender);
    }
    this.#wait?.told();
    this.#follow();
  }

  #follow(): void {
    const { watermark, isIdle } = this.#senders;
    // Infinity is told by the end alone.
    if (watermark === Number.POSITIVE_INFINITY) return;
    if (watermark > this.#reached) {
      this.#reached = watermark;
      finish(this.chain.advance(watermark));
    }
    if (isIdle) this.chain.becameIdle();
    if (this.chain.held !== undefined) this.chain.held.mark(watermark, isIdle);
    else for (const edge of edgesOf(this.vertex)) this.#surroundings.mark(edge, watermark, isIdle);
  }
}

/** Whether the receiver hears of event time and of the end by this edge. */
export const tellsTime = ({ feedback }: Edge): boolean => feedback !== true;

function edgesOf({ operators }: Vertex): string[] {
  return operators.flatMap(({ outputs }) => outputs.flatMap(({ edges }) => edges));
}

function finish(slices: Slices | undefined): void {
  while (slices?.step());
}
