/**
 * What the panes of one window after the other come to, for windows of which none begins or ends earlier than the last.
 *
 * A queue of two stacks: so a pane is merged three times, however many windows hold it.
 */
import { ABSENT } from "../../../../state/contract.ts";

export class MergedPanes {
  private readonly values: readonly unknown[];
  private readonly merge: (held: unknown, later: unknown) => unknown;
  /** What the panes from a place up to `split` come to. */
  private readonly front: unknown[] = [];
  private split = 0;
  /** What those from `split` up to `reached` come to; ABSENT: there are none. */
  private back: unknown = ABSENT;
  private reached = 0;

  constructor(values: readonly unknown[], merge: (held: unknown, later: unknown) => unknown) {
    this.values = values;
    this.merge = merge;
  }

  /** @param to the place behind the last one */
  of(from: number, to: number): unknown {
    for (; this.reached < to; this.reached++) {
      const value = this.values[this.reached];
      this.back = this.back === ABSENT ? value : this.merge(this.back, value);
    }
    if (from >= this.split) this.turnOver(from);
    const front = this.front[from];
    return this.back === ABSENT ? front : this.merge(front, this.back);
  }

  private turnOver(from: number): void {
    let held: unknown = ABSENT;
    for (let place = this.reached - 1; place >= from; place--) {
      const value = this.values[place];
      held = held === ABSENT ? value : this.merge(value, held);
      this.front[place] = held;
    }
    this.split = this.reached;
    this.back = ABSENT;
  }
}
