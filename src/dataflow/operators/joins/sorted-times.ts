/** Times in ascending order, each once. They mostly come in order and go from the front, and both are cheap then. */
export class SortedTimes {
  private readonly times: number[] = [];
  /** How many at the front of `times` have gone. */
  private gone = 0;

  get isEmpty(): boolean {
    return this.gone === this.times.length;
  }

  /** The earliest one; undefined: there is none. */
  get first(): number | undefined {
    return this.times[this.gone];
  }

  /** The one behind it. */
  get second(): number | undefined {
    return this.times[this.gone + 1];
  }

  /** The latest one that is not above `time`; undefined: there is none. */
  lastUpTo(time: number): number | undefined {
    const place = this.placeOf(time + 1);
    return place > this.gone ? this.times[place - 1] : undefined;
  }

  /** Places count from `end - length` on; those that are gone have had the ones in front. */
  get end(): number {
    return this.times.length;
  }

  /** @param place of `placeOf`, less than `end` */
  at(place: number): number {
    return this.times[place]!;
  }

  /** The place of the earliest time that is `time` or later; `end`: there is none. Valid until something is added. */
  placeOf(time: number): number {
    let low = this.gone;
    let high = this.times.length;
    if (high > low && this.times[high - 1]! < time) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.times[middle]! < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** false: it was there already. */
  add(time: number): boolean {
    const { times } = this;
    const place = this.placeOf(time);
    if (place === times.length) times.push(time);
    else if (times[place] === time) return false;
    else times.splice(place, 0, time);
    return true;
  }

  removeFirst(): void {
    this.gone++;
    // Moved seldom enough to cost nothing by the time.
    if (this.gone < 32 || this.gone * 2 < this.times.length) return;
    this.times.splice(0, this.gone);
    this.gone = 0;
  }
}
