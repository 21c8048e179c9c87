/**
 * The watermark of several senders: of the channels of a subtask, or of the splits of its source.
 *
 * Owns: which of them hold event time back. Does not own: what is done when it has come further
 * (runtime/worker/subtask/input/event-time.ts). Rules: Flink's StatusWatermarkValve, with what FLINK-38477, FLINK-40475
 * and FLINK-40499 found missing in it.
 *
 * - WM1 The combined watermark is the least of the active senders. It never goes back.
 * - WM2 A sender that was idle and speaks again is active at once, before its record or watermark counts; it holds
 *   event time back only from where its watermark has reached the combined one, so what it still sends in front of
 *   that is late.
 * - WM3 When no sender is active and some are idle, the combined watermark is the greatest of the idle ones, and then
 *   all of them together are idle. A sender that has finished says nothing in that.
 * - WM4 Only when all senders have finished is the combined watermark Infinity.
 */
const ACTIVE = 0;
const IDLE = 1;
const FINISHED = 2;

/** What is known of one sender, as a snapshot holds it. */
export interface SenderTime {
  readonly watermark: number;
  readonly isIdle: boolean;
}

export class WatermarkCombiner {
  readonly #status: Uint8Array;
  readonly #watermarks: Float64Array;
  #watermark = Number.NEGATIVE_INFINITY;
  #isIdle = false;

  /** All of them are active, and have told nothing yet. */
  constructor(senders: number) {
    this.#status = new Uint8Array(senders);
    this.#watermarks = new Float64Array(senders).fill(Number.NEGATIVE_INFINITY);
  }

  /** The combined watermark; -Infinity: none yet. */
  get watermark(): number {
    return this.#watermark;
  }

  /** All senders are idle, but for those that have finished. */
  get isIdle(): boolean {
    return this.#isIdle;
  }

  senderIsIdle(sender: number): boolean {
    return this.#status[sender] === IDLE;
  }

  /** It holds event time back: it is neither idle nor finished. */
  senderIsActive(sender: number): boolean {
    return this.#status[sender] === ACTIVE;
  }

  /**
   * The senders that hold event time where it is, at most `max` of them: the active ones with the least watermark, or
   * all active ones where all are behind (WM2). None when all are idle or have finished. For reports.
   */
  holders(max: number): readonly number[] {
    const active = Array.from(this.#watermarks.keys()).filter((i) => this.#status[i] === ACTIVE);
    const counting = active.filter((i) => this.#watermarks[i]! >= this.#watermark);
    const least = Math.min(...counting.map((i) => this.#watermarks[i]!));
    const holding = counting.length === 0 ? active : counting.filter((i) => this.#watermarks[i] === least);
    return holding.slice(0, max);
  }

  sender(sender: number): SenderTime {
    return { watermark: this.#watermarks[sender]!, isIdle: this.#status[sender] === IDLE };
  }

  /** Called before anything else, with what a snapshot holds. */
  restore(sender: number, { watermark, isIdle }: SenderTime): void {
    this.#watermarks[sender] = watermark;
    this.#status[sender] = isIdle ? IDLE : ACTIVE;
  }

  /** Called behind the last `restore`. @param watermark what the combination had come to */
  restored(watermark: number): void {
    this.#watermark = watermark;
    this.#combine();
  }

  /** The sender's watermark has come to `watermark`; one that is no larger only shows that the sender is active. */
  advanced(sender: number, watermark: number): void {
    if (this.#status[sender] === FINISHED) return;
    const isLarger = watermark > this.#watermarks[sender]!;
    if (!isLarger && this.#status[sender] === ACTIVE) return;
    if (isLarger) this.#watermarks[sender] = watermark;
    this.#status[sender] = ACTIVE;
    this.#combine();
  }

  /** A record of an idle sender is there. */
  spoke(sender: number): void {
    if (this.#status[sender] !== IDLE) return;
    this.#status[sender] = ACTIVE;
    this.#combine();
  }

  becameIdle(sender: number): void {
    if (this.#status[sender] !== ACTIVE) return;
    this.#status[sender] = IDLE;
    this.#combine();
  }

  finished(sender: number): void {
    if (this.#status[sender] === FINISHED) return;
    this.#status[sender] = FINISHED;
    this.#combine();
  }

  /** Also where there are none. */
  finishAll(): void {
    this.#status.fill(FINISHED);
    this.#combine();
  }

  #combine(): void {
    let active = 0;
    let idle = 0;
    let least = Number.POSITIVE_INFINITY;
    let greatest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.#status.length; i++) {
      const watermark = this.#watermarks[i]!;
      if (this.#status[i] === ACTIVE) {
        active++;
        // One that is behind has spoken again after it was idle (WM2): all others are not below what was combined.
        if (watermark >= this.#watermark && watermark < least) least = watermark;
      } else if (this.#status[i] === IDLE) {
        idle++;
        if (watermark > greatest) greatest = watermark;
      }
    }
    this.#isIdle = active === 0 && idle > 0;
    if (active === 0) this.#rise(idle > 0 ? greatest : Number.POSITIVE_INFINITY);
    else if (least !== Number.POSITIVE_INFINITY) this.#rise(least);
  }

  #rise(watermark: number): void {
    if (watermark > this.#watermark) this.#watermark = watermark;
  }
}
