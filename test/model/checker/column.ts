/** A growing list of 32-bit numbers, outside the garbage-collected heap. */
export class Column {
  values = new Uint32Array(16);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) this.grow(this.length + 1);
    this.values[this.length++] = value;
  }

  /** Appends the first `count` numbers of `source`. */
  append(source: Uint32Array, count: number): void {
    if (this.length + count > this.values.length) this.grow(this.length + count);
    for (let i = 0; i < count; i++) this.values[this.length + i] = source[i]!;
    this.length += count;
  }

  at(index: number): number {
    return this.values[index]!;
  }

  clear(): void {
    this.length = 0;
  }

  private grow(needed: number): void {
    // Half as much again: at 10^7 states a doubling would be most of the memory.
    const values = new Uint32Array(Math.max(needed, Math.ceil(this.values.length * 1.5)));
    values.set(this.values);
    this.values = values;
  }
}
