/**
 * What session windows must put out: computed with arrays from the items alone.
 *
 * - EN1 Without late items, sessions depend on no order, except where an item comes exactly at the end of one: it
 *   belongs to it if it comes before the watermark does. `touches` says that there is such an item.
 */
import { gapOf, type Item } from "../drawing.ts";

export interface StampedItem {
  readonly item: Item;
  readonly time: number;
}

export interface Session {
  readonly start: number;
  readonly end: number;
  readonly gapMs: number;
  readonly items: readonly Item[];
}

type Shape = Parameters<typeof gapOf>[0];

/** The sessions of one key. */
export class KeySessions {
  #open: Session[] = [];
  /** Those that are over: for one more gap no item may reach into one. */
  #over: Session[] = [];
  touches = false;
  readonly #shape: Shape;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  /** Those that have ended, in no order. */
  endUpTo(watermark: number): readonly Session[] {
    const ended = this.#open.filter(({ end }) => end - 1 <= watermark);
    this.#open = this.#open.filter(({ end }) => end - 1 > watermark);
    this.#over = [...this.#over, ...ended].filter(({ end, gapMs }) => end + gapMs - 1 > watermark);
    return ended;
  }

  /** false: it comes too late. */
  take({ item, time }: StampedItem, watermark: number): boolean {
    const gapMs = gapOf(this.#shape, item);
    const end = time + gapMs;
    const isHome = this.#open.some((one) => one.start <= time && time <= one.end);
    if (!isHome && this.#over.some((one) => one.start < end && time < one.end)) return false;
    const joined = this.#open.filter((one) => one.start <= end && time <= one.end);
    if (joined.some((one) => one.start === end || one.end === time)) this.touches = true;
    const session: Session = {
      start: Math.min(time, ...joined.map((one) => one.start)),
      end: Math.max(end, ...joined.map((one) => one.end)),
      gapMs: Math.max(gapMs, ...joined.map((one) => one.gapMs)),
      items: [...joined.flatMap(({ items }) => items), item],
    };
    if (session.end - 1 <= watermark) return false;
    this.#open = [...this.#open.filter((one) => !joined.includes(one)), session];
    return true;
  }
}
