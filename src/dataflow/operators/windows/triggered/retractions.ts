/** Results that take the place of others: what was emitted goes out again in front of them, marked. */
import type { Outputs } from "../../contract.ts";

/**
 * A result of windows that take results back: "add" is a new one; "retract" says that this result, which came as "add"
 * before, holds no more. Retractions of a window come in front of what takes their place.
 */
export interface Change<T = unknown> {
  readonly change: "add" | "retract";
  readonly value: T;
}

/** Stands in front of the outputs, and keeps what a firing emits. */
export class Retractions {
  readonly outputs: Outputs;
  private readonly downstream: Outputs["main"];
  private emitted: unknown[] = [];

  constructor(outputs: Outputs) {
    const { main } = outputs;
    this.downstream = main;
    this.outputs = {
      main: (value, timestamp) => {
        this.emitted.push(value);
        main({ change: "add", value } satisfies Change, timestamp);
      },
      tagged: (tag) => outputs.tagged(tag),
      mark: (watermark, isIdle) => outputs.mark(watermark, isIdle),
    };
  }

  /** A firing begins: what the one before it has emitted is taken back. */
  begin(before: readonly unknown[], timestamp: number): void {
    this.emitted = [];
    for (const value of before) this.downstream({ change: "retract", value } satisfies Change, timestamp);
  }

  /** What the firing has emitted. */
  end(): readonly unknown[] {
    return this.emitted;
  }
}
