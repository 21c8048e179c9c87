/**
 * The end of a loop (LP1 - LP6), whatever its shape and the order in which its channels are read: no head ends while a
 * record can still come back to it, and all of them end. Real machines and host; records are the number of rounds that
 * they have left.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RoundFrame } from "../../../src/dataflow/channel/frame.ts";
import type { EdgeOutput } from "../../../src/dataflow/output.ts";
import { Host } from "../../../src/runtime/actor.ts";
import { LoopRounds } from "../../../src/runtime/worker/subtask/input/rounds.ts";
import { ManualClock } from "../../support/manual-clock.ts";

type Exchange = "forward" | "all-to-all";
type Item = number | RoundFrame | "end";

interface Shape {
  readonly parallelism: number;
  /** The exchanges from each stage to the next one; the last leads back to the first, where the loop begins. */
  readonly exchanges: readonly Exchange[];
  /** A second way, from the first stage to the last one. */
  readonly shortcut: Exchange | undefined;
  /** Stages besides the first that records come to from outside, too. */
  readonly opened: readonly boolean[];
  /** What comes from outside, by subtask. */
  readonly inputs: readonly (readonly number[])[];
  readonly choices: readonly number[];
}

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    parallelism: fc.integer({ min: 1, max: 3 }),
    exchanges: fc.array(fc.constantFrom<Exchange>("forward", "all-to-all"), { minLength: 1, maxLength: 3 }),
    shortcut: fc.option(fc.constantFrom<Exchange>("forward", "all-to-all"), { nil: undefined }),
    opened: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
    inputs: fc.array(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 5 }), {
      minLength: 12,
      maxLength: 12,
    }),
    choices: fc.array(fc.nat({ max: 997 }), { minLength: 1, maxLength: 60 }),
  })
  .map((shape) => ({ ...shape, shortcut: shape.exchanges.length > 2 ? shape.shortcut : undefined }));

interface Channel {
  readonly to: Node;
  readonly index: number;
  readonly items: Item[];
}

class Node {
  readonly outputs: Channel[][] = [];
  readonly stage: number;
  readonly index: number;
  channels = 0;
  rounds: LoopRounds | undefined;
  open = 0;
  ended = false;

  constructor(stage: number, index: number) {
    this.stage = stage;
    this.index = index;
  }

  send(item: Item): void {
    for (const edge of this.outputs) for (const { items } of edge) items.push(item);
  }
}

class Loop {
  readonly #shape: Shape;
  readonly #nodes: Node[] = [];
  readonly #channels: Channel[] = [];
  #choice = 0;

  constructor(shape: Shape) {
    this.#shape = shape;
    const { parallelism, exchanges, shortcut, opened, inputs } = shape;
    const stages = exchanges.map((_, stage) =>
      Array.from({ length: parallelism }, (_, index) => new Node(stage, index)),
    );
    this.#nodes = stages.flat();
    const outside = new Map<Node, number[]>(this.#nodes.map((node) => [node, []]));
    for (const [i, node] of this.#nodes.entries()) {
      if (node.stage > 0 && !opened[node.stage]) continue;
      const channel = this.#channel(node);
      channel.items.push(...inputs[i]!, "end");
      outside.get(node)!.push(channel.index);
    }
    const connect = (from: number, to: number, exchange: Exchange) => {
      for (const node of stages[from]!) {
        const receivers = exchange === "forward" ? [stages[to]![node.index]!] : stages[to]!;
        node.outputs.push(receivers.map((receiver) => this.#channel(receiver)));
      }
    };
    for (const [stage, exchange] of exchanges.entries())
      connect(stage, (stage + 1) % exchanges.length, exchange);
    if (shortcut !== undefined) connect(0, exchanges.length - 1, shortcut);
    for (const node of this.#nodes) this.#start(node, outside.get(node)!);
  }

  #channel(to: Node): Channel {
    const channel = { to, index: to.channels++, items: [] };
    to.open++;
    this.#channels.push(channel);
    return channel;
  }

  #start(node: Node, outside: readonly number[]): void {
    const host = new Host({
      clock: new ManualClock(),
      observe: ({ effects }) => {
        if (effects.some(({ type }) => type === "tell.subtask")) this.#headEnds(node);
      },
      onCrash: (error) => {
        throw error;
      },
    });
    const inside = Array.from({ length: node.channels }, (_, i) => i).filter((i) => !outside.includes(i));
    const place = {
      head: node.stage === 0,
      inside,
      outside,
      outputs: node.outputs.map(
        (_, edge): EdgeOutput =>
          ({
            broadcast: (frame: RoundFrame) => {
              for (const { items } of node.outputs[edge]!) items.push(frame);
            },
          }) as unknown as EdgeOutput,
      ),
    };
    node.rounds = new LoopRounds(host, place, false);
  }

  #headEnds(node: Node): void {
    const { exchanges, shortcut } = this.#shape;
    const alone = exchanges.every((one) => one === "forward") && shortcut !== "all-to-all";
    const left = this.#channels.filter(({ to }) => !alone || to.index === node.index);
    expect(left.flatMap(({ items }) => items.filter((item) => typeof item === "number"))).toEqual([]);
    expect(node.ended).toBe(false);
    node.ended = true;
    node.send("end");
  }

  #next(below: number): number {
    const { choices } = this.#shape;
    return (choices[this.#choice++ % choices.length]! * 31 + this.#choice) % below;
  }

  run(): void {
    for (let step = 0; step < 20_000; step++) {
      const ready = this.#channels.filter(({ items }) => items.length > 0);
      if (ready.length === 0) break;
      this.#read(ready[this.#next(ready.length)]!);
    }
    expect(this.#nodes.filter(({ ended }) => !ended)).toEqual([]);
  }

  #read({ to: node, index, items }: Channel): void {
    const item = items.shift()!;
    if (typeof item === "number") {
      node.rounds!.took(index);
      const roundsLeft = node.stage === 0 ? item - 1 : item;
      if (roundsLeft < 0) return;
      const edge = node.outputs[this.#next(node.outputs.length)]!;
      edge[this.#next(edge.length)]!.items.push(roundsLeft);
    } else if (item === "end") {
      node.rounds!.ended(index);
      if (--node.open > 0 || node.stage === 0) return;
      node.ended = true;
      node.send("end");
    } else node.rounds!.received(index, item);
  }
}

test("no head ends too early, and every one ends (LP1 - LP6)", () => {
  fc.assert(
    fc.property(shapes, (shape) => new Loop(shape).run()),
    { numRuns: 1500 },
  );
});
