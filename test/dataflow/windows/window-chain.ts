/** One window operator of a job in a chain of its own, cut and restored as a worker does it. */
import type { Chain, ChainServices } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import type { OperatorFigures } from "../../../src/dataflow/operators/figures.ts";
import { ascendingTimestamps, defineJob, type KeyedStream, type Stream } from "../../../src/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf } from "../../support/graphs/chains.ts";

/** A record of the tests: counted by key. */
export interface Item {
  readonly key: string;
  readonly value: number;
}

type Emitted = readonly [value: unknown, timestamp: number];

/** The operator "windows" that `build` adds. */
export function windowOperator(
  build: (items: KeyedStream<Item, string>) => Stream<unknown>,
): OperatorDefinition {
  const job = defineJob("windows", {}, (builder) => {
    const items = builder
      .source<Item>("items", testSource(), { watermarks: ascendingTimestamps() })
      .keyBy(({ key }) => key);
    build(items).sink("out", testSink());
  });
  return job.operators.find(({ definition }) => definition.id === "windows")!.definition;
}

export class WindowChain {
  readonly main: Emitted[] = [];
  readonly late: Emitted[] = [];
  /** The wall clock, and the time that the operator has asked for. */
  nowMs = 0;
  wakeAtMs = Number.POSITIVE_INFINITY;
  private operator: OperatorDefinition;
  private readonly maxParallelism: number;
  private readonly services: Partial<ChainServices>;
  private chain: Chain;

  constructor(operator: OperatorDefinition, maxParallelism = 128, services: Partial<ChainServices> = {}) {
    this.operator = operator;
    this.services = services;
    this.maxParallelism = maxParallelism;
    this.chain = this.open();
  }

  record(key: string, value: number, timestamp: number): void {
    this.anything({ key, value }, timestamp);
  }

  anything(value: unknown, timestamp: number): void {
    this.chain.heads[0]!(value, timestamp);
  }

  /** @param cuts restarts on the way: behind the first slice, then two slices later, then three */
  watermark(time: number, cuts = false): void {
    let slices = this.chain.advance(time, 1);
    let untilCut = 1;
    for (let steps = 1, more = slices !== undefined; more; steps++) {
      more = slices!.step();
      if (!cuts || !more || steps < untilCut) continue;
      steps = 0;
      untilCut++;
      this.restart();
      const unfinished = this.chain.unfinishedTime();
      slices = unfinished === undefined ? undefined : this.chain.advance(unfinished, 1);
      more = slices !== undefined;
    }
  }

  /** The wall clock moves on; the operator is called when it has asked for it. */
  clock(nowMs: number): void {
    this.nowMs = nowMs;
    while (this.wakeAtMs < nowMs) {
      this.wakeAtMs = Number.POSITIVE_INFINITY;
      const slices = this.chain.advanceProcessingTime(nowMs - 1);
      while (slices?.step());
    }
  }

  /** The input ends. */
  finish(): void {
    const slices = this.chain.finish();
    while (slices.step());
  }

  /**
   * Begins to advance, restarts with other windows behind so many slices if there are as many, and goes on to the end.
   */
  changeAt(time: number, slices: number, operator: OperatorDefinition): void {
    let advancing = this.chain.advance(time, 1);
    for (let done = 0; done < slices && advancing?.step() === true; done++);
    this.restart(operator);
    const unfinished = this.chain.unfinishedTime();
    advancing = unfinished === undefined ? undefined : this.chain.advance(unfinished, 1);
    while (advancing?.step() === true);
  }

  /** Goes on in another chain, from a cut of this one; with other windows, if they are given. */
  restart(operator = this.operator): void {
    const former = operator === this.operator ? undefined : this.operator.details.windowsPlan;
    this.operator = operator;
    const times = structuredClone(this.chain.times());
    const stored = this.chain.snapshot().map(({ operator, state, cursor }) => {
      const chunks: Uint8Array[] = [];
      for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
      return { operator, state, bytes: Buffer.concat(chunks) };
    });
    this.chain = this.open();
    this.chain.restoreTimes(times);
    if (former !== undefined) this.chain.restoreWindows([{ operator: operator.id, windows: former }]);
    for (const { operator, state, bytes } of stored) {
      const restorer = this.chain.restorer({ operator, state }, { object: "cut", bytes });
      while (restorer.next());
    }
    const slices = this.chain.restored();
    while (slices.step());
  }

  /** How many rows the operator holds. */
  get rows(): number {
    let rows = 0;
    for (const { cursor } of this.chain.snapshot()) {
      for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) rows += chunk.entries;
    }
    return rows;
  }

  /** What the operator has counted since it began. */
  get figures(): Readonly<Record<string, number>> {
    return this.operators[0]!.figures;
  }

  /** What a report tells of the operator. */
  get operators(): readonly OperatorFigures[] {
    return this.chain.figures();
  }

  close(): void {
    void this.chain.close();
  }

  private open(): Chain {
    const tags = this.operator.details.tags ?? [];
    const { chain } = chainOf(
      [
        {
          operator: this.operator,
          outputs: [null, ...tags].map((tag) => ({ tag, next: [], edges: [tag === null ? "main" : "late"] })),
        },
      ],
      {
        ...this.services,
        maxParallelism: this.maxParallelism,
        processingTime: {
          nowMs: () => this.nowMs,
          wakeAt: (timeMs) => {
            this.wakeAtMs = Math.min(this.wakeAtMs, timeMs);
          },
        },
        output: (edge) => (value, timestamp) => {
          (edge === "main" ? this.main : this.late).push([value, timestamp]);
        },
      },
    );
    return chain;
  }
}
