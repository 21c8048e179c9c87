/**
 * GT1, GT2: two subtasks of a windowed operator that had come to different times become one, or the other way round; so
 * what is late and what has fired is what it was. The oracle is the same two subtasks, which go on as they are.
 */
import { describe, expect, test } from "vitest";
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorTime } from "../../../src/dataflow/time/operator-times.ts";
import {
  calendarWindows,
  cumulateWindows,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
} from "../../../src/index.ts";
import { keyGroupOf, keyGroupRangeOf, ownerOf } from "../../../src/state/key-groups.ts";
import { randomFrom } from "../../chaos/random.ts";
import { leadingTo } from "../../support/graphs/operators.ts";
import { type Item, windowOperator } from "../windows/window-chain.ts";

const KEY_GROUPS = 16;
const KEYS = Array.from({ length: 24 }, (_, i) => `k${i}`);
const INFINITY = Number.POSITIVE_INFINITY;

const assigners = {
  tumbling: tumblingWindows({ size: 10 }),
  sliding: slidingWindows({ size: 40, slide: 10 }),
  cumulating: cumulateWindows({ size: 40, step: 10 }),
  session: sessionWindows({ gap: 10 }),
  calendar: calendarWindows({ every: "day", zone: "UTC" }),
} as const;

interface Cut {
  readonly times: readonly OperatorTime[];
  readonly states: readonly { readonly operator: string; readonly state: string; readonly bytes: Buffer }[];
}

/** One subtask of the operator. */
class Subtask {
  readonly fired: string[];
  readonly chain: Chain;
  readonly #head: (item: Item, timestamp: number) => void;

  constructor(
    operator: ReturnType<typeof windowOperator>,
    index: number,
    parallelism: number,
    fired: string[],
    cuts: readonly Cut[] = [],
  ) {
    this.fired = fired;
    const tags = operator.details.tags ?? [];
    this.chain = buildChain(
      { id: "vertex", parallelism, operators: [leadingTo(operator, [], ["main"])] },
      {
        subtaskIndex: index,
        maxParallelism: KEY_GROUPS,
        output: (edge) => (value) => {
          this.fired.push(`${edge} ${JSON.stringify(value)}`);
        },
        writer: () => {
          throw new Error("there is no sink");
        },
      },
    );
    expect(tags.length).toBeLessThan(2);
    const range = keyGroupRangeOf(index, parallelism, KEY_GROUPS);
    const own = cuts
      .flatMap(({ times }) => times)
      .filter(({ keyGroups }) => keyGroups.first <= range.last && keyGroups.last >= range.first);
    this.chain.restoreTimes(own);
    for (const { operator: id, state, bytes } of cuts.flatMap(({ states }) => states)) {
      const restorer = this.chain.restorer({ operator: id, state }, { object: "cut", bytes });
      while (restorer.next());
    }
    const slices = this.chain.restored();
    while (slices.step());
    this.#head = this.chain.headFor(0, (item) => (item as Item).key);
  }

  record(key: string, value: number, timestamp: number): void {
    this.#head({ key, value }, timestamp);
  }

  /** Goes on with what was due at the cut, if it was in the middle of that. */
  goOn(): void {
    const unfinished = this.chain.unfinishedTime();
    if (unfinished !== undefined) this.watermark(unfinished);
  }

  watermark(time: number, stepsMax = INFINITY): void {
    const slices = this.chain.advance(time, 1);
    for (let step = 0; step < stepsMax && slices?.step() === true; step++);
  }

  cut(): Cut {
    return {
      times: structuredClone(this.chain.times()),
      states: this.chain.snapshot().map(({ operator, state, cursor }) => {
        const chunks: Uint8Array[] = [];
        for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
        return { operator, state, bytes: Buffer.concat(chunks) };
      }),
    };
  }

  get late(): number {
    return this.chain.figures()[0]?.figures.late ?? 0;
  }
}

const subtaskOf = (key: string, parallelism: number): number =>
  ownerOf(keyGroupOf(key, KEY_GROUPS), parallelism, KEY_GROUPS);

describe.each(Object.keys(assigners) as (keyof typeof assigners)[])("%s windows", (kind) => {
  test.each([0, 15])("with %i ms of allowed lateness, by 60 scripts", (allowedLateness) => {
    const unit = kind === "calendar" ? 86_400_000 / 10 : 1;
    const operator = windowOperator((items) =>
      items
        .window(assigners[kind] as ReturnType<typeof tumblingWindows>, {
          allowedLateness: allowedLateness * unit,
        })
        .aggregate(
          "windows",
          {
            createAccumulator: () => 0,
            add: (sum: number, { value }: Item) => sum + value,
            getResult: (sum: number) => sum,
            merge: (a: number, b: number) => a + b,
          },
          (sum, { key, window, firing }) => `${key} ${window.start}-${window.end} ${firing} ${sum}`,
        ),
    );
    let wereLate = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = randomFrom(seed);
      const [was, is] = random.pick([
        [2, 1],
        [3, 2],
        [2, 3],
        [1, 2],
      ] as const);
      const draw = (count: number) =>
        Array.from({ length: count }, () => ({
          key: random.pick(KEYS),
          value: random.between(1, 9),
          timestamp: random.between(0, 120) * unit,
        }));
      const [before, between, after] = [draw(60), draw(30), draw(60)];
      // An aligned barrier comes behind the same watermark everywhere, and what is due there may not be done.
      const isAligned = random.next() < 0.5;
      const aligned = random.between(0, 90) * unit;
      const times = Array.from({ length: was }, () => (isAligned ? aligned : random.between(0, 90) * unit));
      const steps = times.map(() => (isAligned && random.next() < 0.7 ? random.between(0, 12) : INFINITY));

      const begun = (fired: string[]) => {
        const subtasks = times.map((_, index) => new Subtask(operator, index, was, fired));
        const send = (items: typeof before) => {
          for (const { key, value, timestamp } of items)
            subtasks[subtaskOf(key, was)]!.record(key, value, timestamp);
        };
        send(before);
        for (const [index, subtask] of subtasks.entries()) subtask.watermark(times[index]! / 2);
        send(between);
        return { subtasks, send };
      };

      const expected: string[] = [];
      const oracle = begun(expected);
      for (const [index, subtask] of oracle.subtasks.entries()) subtask.watermark(times[index]!);
      oracle.send(after);
      for (const subtask of oracle.subtasks) subtask.watermark(INFINITY);

      const fired: string[] = [];
      const former = begun(fired).subtasks;
      for (const [index, subtask] of former.entries()) subtask.watermark(times[index]!, steps[index]);
      const cuts = former.map((subtask) => subtask.cut());
      const lateBefore = former.reduce((sum, { late }) => sum + late, 0);
      const next = Array.from({ length: is }, (_, index) => new Subtask(operator, index, is, fired, cuts));
      for (const subtask of next) subtask.goOn();
      for (const { key, value, timestamp } of after) next[subtaskOf(key, is)]!.record(key, value, timestamp);
      for (const subtask of next) subtask.watermark(45 * unit);
      // Once more, before all key groups are even.
      const again = next.map((subtask) => subtask.cut());
      const last = Array.from({ length: was }, (_, index) => new Subtask(operator, index, was, fired, again));
      for (const subtask of last) subtask.goOn();
      for (const subtask of last) subtask.watermark(INFINITY);

      const late = lateBefore + next.reduce((sum, subtask) => sum + subtask.late, 0);
      const wanted = oracle.subtasks.reduce((sum, subtask) => sum + subtask.late, 0);
      expect(fired.toSorted(), `seed ${seed}`).toEqual(expected.toSorted());
      expect(late, `late with seed ${seed}`).toBe(wanted);
      wereLate += late;
    }
    expect(wereLate).toBeGreaterThan(0);
  });
});
