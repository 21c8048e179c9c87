/**
 * What the seed decides, each decision at a place of its own, so that a replay can leave one out and the others stay as
 * they are.
 *
 * Owns: streams of chance, one for each place; the list of faults and of the user's acts that a run has had. Does not
 * own: how likely a fault is (weather.ts), what it does (surroundings.ts, storm.ts).
 *
 * - DE1 A run with no `only` draws its decisions from the seed; `taken` lists those that struck, in order.
 * - DE2 A run with `only` takes exactly these, each at its place and as soon as its time has come; what it draws
 *   otherwise strikes nothing. With the whole list of a run it goes the same way again.
 * - DE3 A place has a stream of its own. So the draws of one process do not move because another one lived longer.
 */
import { createHash } from "node:crypto";
import { type Random, randomFrom } from "../chaos/random.ts";

/** A fault that struck, or what the user did. */
export interface Decision {
  /** Its place among all of the whole run, from 0. */
  readonly number: number;
  /** "worker1>coordinator1 loses", "crash-worker 2". */
  readonly name: string;
  readonly atMs: number;
  /** The number of the question among those at this place and moment, since the last decision there. */
  readonly nth: number;
  /** In [0, 1): how much of it. */
  readonly amount: number;
}

/** What of a run is left when it is replayed. */
export interface Edit {
  /** Default: what the seed decides. */
  readonly only?: readonly Decision[];
  /** At most so many records of input. Default: no bound. */
  readonly recordsMax?: number;
  /** Operators that are left out of the graph. Default: none. */
  readonly without?: readonly string[];
  /** At most so many workers, but enough for the job. Default: no bound. */
  readonly workersMax?: number;
}

interface Due {
  readonly number: number;
  readonly atMs: number;
  readonly amount: number;
  questions: number;
}

interface Question {
  readonly name: string;
  /** What is still to come in a replay. */
  readonly due: Due[] | undefined;
  lastMs: number;
  since: number;
}

export class Decisions {
  readonly taken: Decision[] = [];
  readonly #seed: number;
  readonly #due: ReadonlyMap<string, Due[]> | undefined;
  readonly #places = new Map<string, Place>();

  constructor(seed: number, { only }: Edit = {}) {
    this.#seed = seed;
    this.#due = only && dueOf(only);
  }

  /** The stream of one place. The same name gives the same draws, whatever happens elsewhere. */
  stream(name: string): Random {
    return randomFrom(createHash("sha256").update(`${this.#seed} ${name}`).digest().readUInt32LE());
  }

  place(name: string): Place {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    const place = new Place(name, this.stream(name), this.stream(`${name} faults`), {
      isReplay: this.#due !== undefined,
      due: (question) => this.#due?.get(question),
      take: (decision, number = this.taken.length) => void this.taken.push({ number, ...decision }),
    });
    this.#places.set(name, place);
    return place;
  }

  /**
   * What happens once under this name, at a time that is fixed: a crash, or an act of the user. False: this replay
   * leaves it out.
   */
  happens(name: string, atMs: number): boolean {
    const due = this.#due?.get(name)?.[0];
    if (this.#due !== undefined && due === undefined) return false;
    this.taken.push({ number: due?.number ?? this.taken.length, name, atMs, nth: 0, amount: 0 });
    return true;
  }
}

interface PlaceOptions {
  readonly isReplay: boolean;
  readonly due: (question: string) => Due[] | undefined;
  readonly take: (decision: Omit<Decision, "number">, number?: number) => void;
}

/** A place that faults strike: a connection of two processes, a process and its storage. */
export class Place {
  readonly name: string;
  /** The chance of what is no fault. */
  readonly random: Random;
  readonly #faults: Random;
  readonly #options: PlaceOptions;
  readonly #questions = new Map<string, Question>();

  constructor(name: string, random: Random, faults: Random, options: PlaceOptions) {
    this.name = name;
    this.random = random;
    this.#faults = faults;
    this.#options = options;
  }

  /** Whether a fault of this kind strikes now, with this chance; if so how much of it, in [0, 1). */
  strikes(kind: string, share: number, nowMs: number): number | undefined {
    if (share === 0) return undefined;
    const question = this.#question(kind);
    if (nowMs !== question.lastMs) question.since = 0;
    question.lastMs = nowMs;
    const { isReplay, take } = this.#options;
    const due = isReplay ? takeDue(question.due, nowMs) : undefined;
    const amount = isReplay ? due?.amount : this.#draw(share);
    const nth = question.since++;
    if (amount === undefined) return undefined;
    question.since = 0;
    take({ name: question.name, atMs: nowMs, nth, amount }, due?.number);
    return amount;
  }

  #draw(share: number): number | undefined {
    const drawn = this.#faults.next();
    return drawn < share ? drawn / share : undefined;
  }

  #question(kind: string): Question {
    const known = this.#questions.get(kind);
    if (known !== undefined) return known;
    const name = `${this.name} ${kind}`;
    const question: Question = { name, due: this.#options.due(name), lastMs: Number.NaN, since: 0 };
    this.#questions.set(kind, question);
    return question;
  }
}

function takeDue(due: Due[] | undefined, nowMs: number): Due | undefined {
  const next = due?.[0];
  if (next === undefined || nowMs < next.atMs) return undefined;
  if (next.questions-- > 0) return undefined;
  return due!.shift();
}

function dueOf(only: readonly Decision[]): Map<string, Due[]> {
  const due = new Map<string, Due[]>();
  for (const { number, name, atMs, nth, amount } of only) {
    const there = due.get(name) ?? [];
    there.push({ number, atMs, amount, questions: nth });
    due.set(name, there);
  }
  return due;
}
