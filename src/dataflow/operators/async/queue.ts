/**
 * The order of an operator that asks the outside world: which request may begin, and what may go out.
 *
 * Owns: the order, as plain data. Does not own: calls, attempts and time (call.ts), what is stored
 * (stored-requests.ts), when there is a turn for it (async.ts).
 *
 * - RQ1 Records and marks of event time share one order. No mark overtakes a record, and no record overtakes a mark, in
 *   either direction.
 * - RQ2 "ordered": what comes of the records goes out in the order of the records. "unordered": between two marks in
 *   the order in which the answers came. "perKey": as "unordered", but a request begins only when the one before it of
 *   the same key has its answer; so the records of one key keep their order, also at the service that is asked.
 * - RQ3 Of marks that no record lies between only the last one is kept, and one that tells nothing new is dropped.
 *
 * Flink: OrderedStreamElementQueue, UnorderedStreamElementQueue, and FLIP-519 for "perKey". They do not queue idle
 * marks, which so overtake records.
 */
import type { Key } from "../../../state/descriptor.ts";
import { Fifo } from "../../channel/fifo.ts";

export type RequestOrder = "ordered" | "unordered" | "perKey";

/** A mark of event time on its way through the operator. */
export interface QueuedMark {
  readonly kind: "mark";
  readonly watermark: number;
  readonly isIdle: boolean;
}

/** A record and its request. */
export interface QueuedRequest {
  readonly kind: "request";
  readonly key: Key;
  hasAnswer: boolean;
}

/** The records between two marks, and the mark behind them. */
interface Segment<R> {
  /** The records that have not gone out: in "ordered" all of them, else those that have their answers. */
  readonly waiting: Fifo<R>;
  left: number;
  /** It has had a record. */
  hadRecords: boolean;
  mark: QueuedMark | undefined;
}

export class RequestQueue<R extends QueuedRequest> {
  readonly #order: RequestOrder;
  /** The last one is open: no mark stands behind it yet. */
  readonly #segments = new Fifo<Segment<R>>();
  #last: Segment<R> = segment();
  /** The segment in front of the last one. */
  #beforeLast: Segment<R> | undefined;
  readonly #segmentOf = new Map<R, Segment<R>>();
  readonly #mayBegin = new Fifo<R>();
  /** By key: the requests that wait for the one before them. A key is here while one of its requests has no answer. */
  readonly #behind = new Map<Key, Fifo<R>>();
  /** The mark that came last. */
  #watermark = Number.NEGATIVE_INFINITY;
  #isIdle = false;

  constructor(order: RequestOrder) {
    this.#order = order;
    this.#segments.push(this.#last);
  }

  /** The records that have not gone out. */
  get size(): number {
    return this.#segmentOf.size;
  }

  /** Nothing is left, neither record nor mark. */
  get isEmpty(): boolean {
    return this.size === 0 && this.#segments.length === 1;
  }

  /** The watermark that came last: it stands in front of the next record. */
  get watermark(): number {
    return this.#watermark;
  }

  add(request: R): void {
    const last = this.#last;
    last.left++;
    last.hadRecords = true;
    this.#segmentOf.set(request, last);
    if (this.#order === "ordered") last.waiting.push(request);
    if (this.#order !== "perKey") {
      this.#mayBegin.push(request);
      return;
    }
    const behind = this.#behind.get(request.key);
    if (behind !== undefined) {
      behind.push(request);
    } else {
      this.#behind.set(request.key, new Fifo());
      this.#mayBegin.push(request);
    }
  }

  mark(watermark: number, isIdle: boolean): void {
    if (watermark === this.#watermark && isIdle === this.#isIdle) return;
    this.#watermark = watermark;
    this.#isIdle = isIdle;
    const mark: QueuedMark = { kind: "mark", watermark, isIdle };
    if (!this.#last.hadRecords && this.#beforeLast !== undefined) {
      this.#beforeLast.mark = mark;
      return;
    }
    this.#last.mark = mark;
    this.#beforeLast = this.#last;
    this.#last = segment();
    this.#segments.push(this.#last);
  }

  /** The request that begins next; undefined: none may. */
  begin(): R | undefined {
    return this.#mayBegin.shift();
  }

  /** The request has its answer, the first one and the last. */
  answered(request: R): void {
    request.hasAnswer = true;
    if (this.#order !== "ordered") this.#segmentOf.get(request)!.waiting.push(request);
    if (this.#order !== "perKey") return;
    const next = this.#behind.get(request.key)!.shift();
    if (next === undefined) this.#behind.delete(request.key);
    else this.#mayBegin.push(next);
  }

  /** There is something that `next` answers. */
  get isReady(): boolean {
    const first = this.#segments.first()!;
    return first.left === 0 ? first.mark !== undefined : first.waiting.first()?.hasAnswer === true;
  }

  /** What goes out next, and is here no more; undefined: nothing is ready. */
  next(): R | QueuedMark | undefined {
    if (!this.isReady) return undefined;
    const first = this.#segments.first()!;
    if (first.left === 0) {
      this.#segments.shift();
      if (first === this.#beforeLast) this.#beforeLast = undefined;
      return first.mark;
    }
    const request = first.waiting.shift()!;
    first.left--;
    this.#segmentOf.delete(request);
    return request;
  }
}

function segment<R>(): Segment<R> {
  return { waiting: new Fifo(), left: 0, hadRecords: false, mark: undefined };
}
