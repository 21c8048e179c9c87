/** RQ1 to RQ3: the queue of requests against a naive one, over random records, marks, answers and restores. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type QueuedMark,
  type QueuedRequest,
  type RequestOrder,
  RequestQueue,
} from "../../../src/dataflow/operators/async/queue.ts";

interface Request extends QueuedRequest {
  readonly ordinal: number;
  /** The watermark in front of it. */
  readonly key: number;
  readonly behind: number;
  begun: boolean;
  answeredAs: number;
}

type Item = Request | QueuedMark;

const isMark = (item: Item): item is QueuedMark => item.kind === "mark";

/** One list of all that has not gone out; everything is looked up in it each time. */
class NaiveQueue {
  items: Item[] = [];
  readonly #order: RequestOrder;
  #told = "";

  constructor(order: RequestOrder) {
    this.#order = order;
  }

  get requests(): Request[] {
    return this.items.filter((item): item is Request => !isMark(item));
  }

  mark(watermark: number, isIdle: boolean): void {
    const told = `${watermark} ${isIdle}`;
    if (told === this.#told) return;
    this.#told = told;
    const last = this.items.at(-1);
    if (last !== undefined && isMark(last)) this.items.pop();
    this.items.push({ kind: "mark", watermark, isIdle });
  }

  mayBegin(): Request[] {
    return this.requests.filter(
      (one, at, all) =>
        !one.begun &&
        (this.#order !== "perKey" ||
          !all.slice(0, at).some(({ key, hasAnswer }) => key === one.key && !hasAnswer)),
    );
  }

  next(): Item | undefined {
    const [first] = this.items;
    if (first === undefined || isMark(first)) return this.#remove(first);
    if (this.#order === "ordered") return first.hasAnswer ? this.#remove(first) : undefined;
    const end = this.items.findIndex(isMark);
    const candidates = (end === -1 ? this.items : this.items.slice(0, end)) as Request[];
    const ready = candidates.filter(({ hasAnswer }) => hasAnswer);
    return this.#remove(ready.sort((a, b) => a.answeredAs - b.answeredAs)[0]);
  }

  #remove(item: Item | undefined): Item | undefined {
    this.items = this.items.filter((one) => one !== item);
    return item;
  }
}

type Step =
  | { readonly do: "record"; readonly key: number }
  | { readonly do: "mark"; readonly by: number; readonly isIdle: boolean }
  | { readonly do: "begin" | "next" | "restore" }
  | { readonly do: "answer"; readonly which: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("record" as const), key: fc.nat(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("mark" as const), by: fc.nat(3), isIdle: fc.boolean() }),
  },
  { weight: 5, arbitrary: fc.constant({ do: "begin" as const }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("answer" as const), which: fc.nat() }) },
  { weight: 6, arbitrary: fc.constant({ do: "next" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "restore" as const }) },
);

/** Runs both queues side by side, and keeps what has gone out. */
class Pair {
  readonly out: Item[] = [];
  readonly #order: RequestOrder;
  #queue: RequestQueue<Request>;
  #naive: NaiveQueue;
  #watermark = Number.NEGATIVE_INFINITY;
  #ordinal = 0;
  #answers = 0;

  constructor(order: RequestOrder) {
    this.#order = order;
    this.#queue = new RequestQueue(order);
    this.#naive = new NaiveQueue(order);
  }

  run(one: Step): void {
    if (one.do === "record") this.#add(one.key, this.#ordinal++, this.#queue.watermark);
    if (one.do === "mark")
      this.#mark(this.#watermark === Number.NEGATIVE_INFINITY ? 0 : this.#watermark + one.by, one.isIdle);
    if (one.do === "begin") this.#begin();
    if (one.do === "answer") this.#answer(one.which);
    if (one.do === "next") this.next();
    if (one.do === "restore") this.#restore();
    expect(this.#queue.size).toBe(this.#naive.requests.length);
    expect(this.#queue.isEmpty).toBe(this.#naive.items.length === 0);
  }

  next(): boolean {
    const isReady = this.#queue.isReady;
    const next = this.#queue.next();
    expect(next).toEqual(this.#naive.next());
    expect(isReady).toBe(next !== undefined);
    if (next !== undefined) this.out.push(next);
    return next !== undefined;
  }

  /** Everything begins, is answered and goes out. */
  drain(): void {
    for (let left = 1; left > 0; left = this.#naive.items.length) {
      while (this.#begin());
      while (this.#answer(0));
      while (this.next());
    }
    expect(this.#queue.begin()).toBeUndefined();
  }

  #add(key: number, ordinal: number, behind: number): void {
    const request: Request = {
      kind: "request",
      key,
      ordinal,
      behind,
      hasAnswer: false,
      begun: false,
      answeredAs: 0,
    };
    this.#queue.add(request);
    this.#naive.items.push(request);
  }

  #mark(watermark: number, isIdle: boolean): void {
    this.#watermark = watermark;
    this.#queue.mark(watermark, isIdle);
    this.#naive.mark(watermark, isIdle);
  }

  #begin(): boolean {
    const may = this.#naive.mayBegin();
    const begun = this.#queue.begin();
    if (begun === undefined) {
      expect(may).toEqual([]);
      return false;
    }
    expect(may).toContain(begun);
    begun.begun = true;
    return true;
  }

  #answer(which: number): boolean {
    const underWay = this.#naive.requests.filter(({ begun, hasAnswer }) => begun && !hasAnswer);
    const request = underWay[which % Math.max(1, underWay.length)];
    if (request === undefined) return false;
    request.answeredAs = this.#answers++;
    this.#queue.answered(request);
    return true;
  }

  /** What a checkpoint keeps: the records, with the watermarks in front of them, and how far event time has come. */
  #restore(): void {
    const kept = this.#naive.requests;
    this.#queue = new RequestQueue(this.#order);
    this.#naive = new NaiveQueue(this.#order);
    const watermark = this.#watermark;
    kept.sort((a, b) => (a.behind === b.behind ? 0 : a.behind - b.behind) || a.ordinal - b.ordinal);
    for (const { key, ordinal, behind } of kept) {
      if (behind > this.#queue.watermark) this.#mark(behind, false);
      this.#add(key, ordinal, behind);
    }
    if (watermark !== Number.NEGATIVE_INFINITY) this.#mark(watermark, false);
  }
}

describe.each<RequestOrder>(["ordered", "unordered", "perKey"])("a queue that is %s", (order) => {
  test("does what a naive one does, and lets nothing overtake a mark, also over restores", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const pair = new Pair(order);
        for (const one of steps) pair.run(one);
        pair.drain();
        let watermark = Number.NEGATIVE_INFINITY;
        const lastOfKey = new Map<unknown, number>();
        const seen: number[] = [];
        for (const item of pair.out) {
          if (isMark(item)) {
            watermark = Math.max(watermark, item.watermark);
            continue;
          }
          // No record has come in front of the watermark that it stood behind, and none behind a later one.
          expect(item.behind).toBe(watermark);
          if (order === "perKey") expect(item.ordinal).toBeGreaterThan(lastOfKey.get(item.key) ?? -1);
          if (order === "ordered") expect(item.ordinal).toBeGreaterThan(seen.at(-1) ?? -1);
          lastOfKey.set(item.key, item.ordinal);
          seen.push(item.ordinal);
        }
        expect(new Set(seen).size).toBe(seen.length);
        expect(seen).toHaveLength(steps.filter((one) => one.do === "record").length);
      }),
      { numRuns: 500 },
    );
  });
});
