/**
 * The troubles of one process: acts that have been failing for a few seconds, each with the reason of its latest try.
 *
 * Owns: when a trouble becomes visible and when it is over. Does not own: the retries, how it is shown (the log, the
 * event feed, `status` and the terminal each read it from here).
 *
 * - TR1 An act that has failed once and has not passed since becomes visible after `VISIBLE_AFTER_MS`, or after the
 *   time that its watch says, also when its next try hangs.
 * - TR2 Watches of one act, by its words, are one trouble. It passes when the act fails for none of them.
 * - TR3 What is shown is bounded in number and in length.
 * - TR4 A reason that differs in its numbers only is no other one: it is shown as it is now, and is no news.
 */
import type { Trouble, TroubleWatch, TroubleWatcher } from "../dataflow/trouble.ts";
import { describeReason } from "../errors.ts";

/** The part of the runtime's clock that is needed here. */
export interface TroubleClock {
  nowMs(): number;
  after(ms: number, run: () => void): { cancel(): void };
}

export type TroubleChange =
  | { readonly change: "began"; readonly trouble: Trouble }
  /** The trouble has another reason now. */
  | { readonly change: "changed"; readonly trouble: Trouble }
  | { readonly change: "passed"; readonly trouble: Trouble };

export type TroubleListener = (change: TroubleChange) => void;

/** Shorter outages are everyday: an election, a reconnect, a server that restarts. */
const VISIBLE_AFTER_MS = 3000;
const SHOWN_MAX = 20;
const WHAT_CHARS_MAX = 200;
const REASON_CHARS_MAX = 500;

interface Failing {
  trouble: Trouble;
  visible: boolean;
  readonly timer: { cancel(): void };
  /** The watches whose act fails. */
  readonly watches: Set<TroubleWatch>;
}

export class Troubles implements TroubleWatcher {
  readonly #clock: TroubleClock;
  readonly #failing = new Map<string, Failing>();
  readonly #listeners = new Set<TroubleListener>();
  #closed = false;

  constructor(clock: TroubleClock) {
    this.#clock = clock;
  }

  /** @param visibleAfterMs of an act that may take longer than others. Default 3000. */
  watch(what: string, visibleAfterMs = VISIBLE_AFTER_MS): TroubleWatch {
    const words = oneLine(what, WHAT_CHARS_MAX);
    let failing = false;
    const pass = () => {
      if (!failing) return;
      failing = false;
      this.#passed(words, watch);
    };
    const watch: TroubleWatch = {
      failed: (error) => {
        failing = true;
        this.#failed(words, oneLine(describeReason(error), REASON_CHARS_MAX), watch, visibleAfterMs);
      },
      passed: pass,
      forget: pass,
    };
    return watch;
  }

  /** The visible ones, oldest first; at most 20. */
  list(): Trouble[] {
    return [...this.#failing.values()]
      .filter(({ visible }) => visible)
      .map(({ trouble }) => trouble)
      .sort((a, b) => a.sinceMs - b.sinceMs)
      .slice(0, SHOWN_MAX);
  }

  /**
   * `listener` is called when a trouble becomes visible, and of a visible one when its reason changes and when it
   * passes. Returns its removal.
   */
  onChange(listener: TroubleListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** From here on no trouble becomes visible. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#failing.values()) timer.cancel();
    this.#failing.clear();
    this.#listeners.clear();
  }

  #failed(what: string, reason: string, watch: TroubleWatch, visibleAfterMs: number): void {
    if (this.#closed) return;
    const known = this.#failing.get(what);
    if (known === undefined) {
      const failing: Failing = {
        trouble: { what, reason, sinceMs: this.#clock.nowMs() },
        visible: false,
        timer: this.#clock.after(visibleAfterMs, () => {
          failing.visible = true;
          this.#tell({ change: "began", trouble: failing.trouble });
        }),
        watches: new Set([watch]),
      };
      this.#failing.set(what, failing);
      return;
    }
    known.watches.add(watch);
    if (known.trouble.reason === reason) return;
    const isNews = !isSameReason(known.trouble.reason, reason);
    known.trouble = { ...known.trouble, reason };
    if (known.visible && isNews) this.#tell({ change: "changed", trouble: known.trouble });
  }

  #passed(what: string, watch: TroubleWatch): void {
    const failing = this.#failing.get(what);
    if (failing === undefined) return;
    failing.watches.delete(watch);
    if (failing.watches.size > 0) return;
    failing.timer.cancel();
    this.#failing.delete(what);
    if (failing.visible) this.#tell({ change: "passed", trouble: failing.trouble });
  }

  #tell(change: TroubleChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

/** What two reasons of one kind have in common: counts, ids of checkpoints and sequences are others at each try. */
export function kindOfReason(reason: string): string {
  return reason.replace(/\d+/g, "#");
}

function isSameReason(one: string, other: string): boolean {
  return kindOfReason(one) === kindOfReason(other);
}

function oneLine(text: string, charsMax: number): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1)}…`;
}
