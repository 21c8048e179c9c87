/** Draws a job from a seed: sources, operators joined at random, a sink at each open end. */
import type { JobOptions } from "../../../src/config/options.ts";
import type { Random } from "../../chaos/random.ts";
import {
  ACTS,
  type DrawnAct,
  type DrawnInput,
  type DrawnJob,
  type DrawnOperator,
  type DrawnSink,
  type DrawnSource,
  type Item,
  KEYED_KINDS,
  KEYS,
  type KeyKind,
  N_MAX,
  STATELESS_KINDS,
} from "./drawing.ts";
import { drawOptions, drawWorker, type GraphFacts, redrawOptions } from "./options.ts";
import { expectedAt } from "./oracle/oracle.ts";
import { tapOf } from "./retention.ts";

const KEY_KINDS: readonly KeyKind[] = ["number", "text", "bigint", "boolean"];
/** At all sinks together. */
const ITEMS_MAX = 700;
const LOOP_SHARE = 0.1;

/** An output that is not read yet, or may be read once more. */
interface OpenEnd {
  readonly from: string;
  readonly output?: "odd" | "late" | "failed";
}

export function drawJob(random: Random): DrawnJob {
  for (;;) {
    const drawn = new Drawer(random).draw();
    let items = 0;
    for (const expected of expectedAt(drawn).values()) items += expected.items.length;
    if (items <= ITEMS_MAX && items > 0) return drawn;
  }
}

class Drawer {
  readonly #random: Random;
  readonly #ends: OpenEnd[] = [];
  readonly #operators: DrawnOperator[] = [];
  readonly #workers: number;
  readonly #slots: number;
  readonly #parallelismMax: number;

  constructor(random: Random) {
    this.#random = random;
    this.#workers = random.pick([2, 2, 2, 3, 3, 4]);
    this.#slots = random.pick([1, 1, 2]);
    this.#parallelismMax = Math.min(3, this.#workers * this.#slots);
  }

  draw(): DrawnJob {
    const random = this.#random;
    const sources = this.#sources();
    const steps = random.pick([1, 1, 2, 2, 3, 3, 4, 5]);
    for (let i = 0; i < steps; i++) this.#add(i);
    const acts = this.#acts();
    const sinks = [...this.#sinks(), ...this.#taps(sources, acts)];
    const facts: GraphFacts = {
      bounded: sources.map(({ bounded }) => bounded),
      hasLoop: this.#operators.some(({ kind }) => kind === "loop"),
      transactional: sinks.some(({ guarantee }) => guarantee === "exactly-once"),
      parallelism: this.#parallelism(),
    };
    const options = drawOptions(random, facts);
    const mayMove = sources.every(({ bounded }) => !bounded);
    const lives = acts.map((act, i) => this.#withNextLife(act, `drawn-${i}`, options, mayMove));
    return {
      sources,
      operators: this.#operators,
      sinks,
      acts: lives,
      reordered: lives.some(({ becomes }) => becomes !== undefined && becomes.operators !== this.#operators),
      options,
      worker: drawWorker(random, this.#slots),
      workers: this.#workers,
      coordinators: random.pick([2, 2, 3]),
    };
  }

  #parallelism(): number {
    return this.#random.between(1, this.#parallelismMax);
  }

  #sources(): DrawnSource[] {
    const random = this.#random;
    const count = random.pick([1, 2, 2, 3]);
    const records = random.between(20, 160);
    return Array.from({ length: count }, (_, i): DrawnSource => {
      const id = `s${i}`;
      const splits = Array.from({ length: random.between(1, 3) }, (): Item[] => []);
      for (let n = Math.ceil(records / count); n > 0; n--) {
        const at = random.between(0, splits.length - 1);
        const split = splits[at]!;
        const [key, value] = [random.between(0, KEYS - 1), random.between(0, N_MAX - 1)];
        split.push({ by: `${id}/${at}`, key, at: split.length + 1, n: value });
      }
      this.#ends.push({ from: id });
      const bounded = random.next() < 0.7;
      return {
        id,
        bounded,
        parallelism: this.#parallelism(),
        splits,
        there: splits.map(({ length }) => (bounded ? length : random.between(0, length))),
        comesEveryMs: random.between(20, 300),
        pollsPerSecond: random.between(3, 25),
        recordsPerPoll: random.pick([1, 1, 2, 5]),
      };
    });
  }

  /** Half of the users only wait. */
  #acts(): DrawnAct[] {
    const random = this.#random;
    const count = random.pick([0, 0, 0, 1, 1, 2, 3]);
    return Array.from({ length: count }, () => ({
      kind: random.pick(ACTS),
      afterMs: 300 + random.next() ** 2 * 9000,
      pauseMs: random.next() ** 2 * 5000,
      claims: random.next() < 0.4,
    }));
  }

  /**
   * A fork may go on where the job ends with a savepoint or a checkpoint. @param mayMove no operator can have finished
   */
  #withNextLife(act: DrawnAct, name: string, options: JobOptions, mayMove: boolean): DrawnAct {
    const random = this.#random;
    const restores = act.kind === "stop" || act.kind === "cancel-with-savepoint" || act.kind === "cancel";
    if (!restores || random.next() < 0.4) return act;
    // A checkpoint may hold records that wait on an edge.
    const moves = mayMove && act.kind !== "cancel" && random.next() < 0.5;
    return {
      ...act,
      becomes: {
        name,
        operators: moves ? this.#operators.map((one) => this.#moved(one)) : this.#operators,
        options: random.next() < 0.5 ? redrawOptions(random, options) : options,
        worker: drawWorker(random, this.#slots),
      },
    };
  }

  /** The same operator in another number of subtasks, where it has no state and its output does not depend on it. */
  #moved(operator: DrawnOperator): DrawnOperator {
    const isStateless = (STATELESS_KINDS as readonly string[]).includes(operator.kind);
    const isBroadcast = operator.ports.flat().some(({ exchange }) => exchange === "broadcast");
    return isStateless && !isBroadcast ? { ...operator, parallelism: this.#parallelism() } : operator;
  }

  /**
   * If a job does not end by itself, or may end in the middle, each source has a sink right behind it that shows how
   * far it was read.
   */
  #taps(sources: readonly DrawnSource[], acts: readonly DrawnAct[]): DrawnSink[] {
    const mayBeCut = acts.some(({ kind }) => kind === "cancel" || kind === "drain");
    if (!mayBeCut && sources.every(({ bounded }) => bounded)) return [];
    return sources.map(tapOf);
  }

  #add(index: number): void {
    const random = this.#random;
    const isLoop = random.next() < LOOP_SHARE;
    const isKeyed = random.next() < 0.55;
    const base = {
      id: `o${index}`,
      parallelism: this.#parallelism(),
      a: random.between(1, 9),
      b: random.between(0, 9),
    };
    if (isLoop) {
      this.#operators.push({
        ...base,
        kind: "loop",
        ports: [this.#inputs(false)],
        feedback: random.pick(["forward", "rebalance", "hash"]),
        visits: random.next() < 0.5 ? random.pick(KEY_KINDS) : undefined,
      });
    } else if (isKeyed) {
      const kind = random.pick(KEYED_KINDS);
      const ports = kind === "pair" ? [this.#inputs(true), this.#inputs(true)] : [this.#inputs(true)];
      this.#operators.push({ ...base, kind, ports, keys: random.pick(KEY_KINDS) });
    } else {
      const kind = random.pick(STATELESS_KINDS);
      const ports = kind === "mark" ? [this.#inputs(false), this.#inputs(false)] : [this.#inputs(false)];
      this.#operators.push({ ...base, kind, ports });
      if (kind === "split") this.#ends.push({ from: base.id, output: "odd" });
    }
    this.#ends.push({ from: base.id });
  }

  /** Some of the open ends; what is read by several operators stays open. */
  #inputs(keyed: boolean): DrawnInput[] {
    const random = this.#random;
    const count = Math.min(this.#ends.length, random.pick([1, 1, 1, 2, 3]));
    const chosen: OpenEnd[] = [];
    while (chosen.length < count) {
      const end = random.pick(this.#ends);
      if (!chosen.includes(end)) chosen.push(end);
    }
    for (const end of chosen)
      if (random.next() < 0.75 && this.#ends.length > 1) this.#ends.splice(this.#ends.indexOf(end), 1);
    return chosen.map((end) => ({ ...end, exchange: keyed ? "forward" : this.#exchange() }));
  }

  #exchange(): DrawnInput["exchange"] {
    return this.#random.pick(["forward", "forward", "forward", "rebalance", "rescale", "broadcast"]);
  }

  #sinks(): DrawnSink[] {
    const random = this.#random;
    const ends = [...this.#ends];
    const sinks: DrawnSink[] = [];
    while (ends.length > 0) {
      const some = ends.splice(0, random.next() < 0.2 ? 2 : 1);
      const from = some.length === 1 && random.next() < 0.6 ? this.#parallelismOf(some[0]!.from) : undefined;
      sinks.push({
        id: `out${sinks.length}`,
        inputs: some.map((end) => ({ ...end, exchange: from === undefined ? this.#exchange() : "forward" })),
        parallelism: from ?? this.#parallelism(),
        guarantee: random.next() < 0.8 ? "exactly-once" : "at-least-once",
        partMessagesMax: random.between(1, 50),
      });
    }
    return sinks;
  }

  #parallelismOf(id: string): number | undefined {
    return this.#operators.find((one) => one.id === id)?.parallelism;
  }
}
