/**
 * Values as small numbers, each with a random 64-bit word.
 *
 * A global state is a handful of these numbers, and its fingerprint is the exclusive or of their words (Zobrist
 * hashing): adding or replacing one value changes the fingerprint by two operations. Words come from a fixed seed,
 * so that every run explores the same states in the same order.
 */
import { Column } from "./column.ts";

/** JSON with sorted keys: equal text for equal data. Refuses what JSON would lose in silence. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (key, part: unknown) => {
    if (
      typeof part === "function" ||
      typeof part === "bigint" ||
      part instanceof Map ||
      part instanceof Set
    ) {
      throw new Error(`not plain data under '${key}': ${Object.prototype.toString.call(part)}`);
    }
    if (part === null || typeof part !== "object" || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** The generator sfc32: small, fast and good enough to tell 10^7 states apart. */
export class Words {
  private a = 0x9e3779b9;
  private b = 0x243f6a88;
  private c = 0xb7e15162;
  private counter = 1;

  next(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}

/** Beyond it something in the model grows without a bound, and would fill the memory before any limit on states. */
const VALUES_MAX = 100_000;

export class Interner<Value> {
  readonly values: Value[] = [];
  readonly low = new Column();
  readonly high = new Column();
  private readonly ids = new Map<string, number>();
  private readonly what: string;
  private readonly words: Words;

  constructor(what: string, words: Words) {
    this.what = what;
    this.words = words;
  }

  of(key: string, value: Value): number {
    const known = this.ids.get(key);
    if (known !== undefined) return known;
    const id = this.values.length;
    if (id === VALUES_MAX)
      throw new Error(`more than ${VALUES_MAX} ${this.what}: bound what grows, e.g. ${key}`);
    this.ids.set(key, id);
    this.values.push(value);
    this.low.push(this.words.next());
    this.high.push(this.words.next());
    return id;
  }
}
