/** What a join says of its sides and its function, and the context that the function gets with each pair. */
import type { Key } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { Outputs } from "../contract.ts";
import { EmittingContext, type KeyInHands } from "../emitting.ts";
import type { KeySelector } from "../keyed/key-selector.ts";

/** Reused for every pair of an operator: read it, do not keep it. */
export interface JoinContext<K extends Key = Key, Out = unknown> {
  readonly key: K;
  /** Event time of the pair in ms: that of the later record. */
  readonly timestamp: number;
  readonly leftTimestamp: number;
  readonly rightTimestamp: number;
  /** Emits with the timestamp of the pair. */
  readonly emit: (value: Out) => void;
}

/** What it returns is emitted, unless it is undefined. */
export type JoinFunction = (left: unknown, right: unknown, context: JoinContext) => unknown;

export interface JoinSide {
  readonly key: KeySelector;
  /** Tag of the output for late records; undefined: they are only counted. */
  readonly lateTag?: string | undefined;
}

interface PairContextOptions {
  readonly join: JoinFunction;
  readonly state: KeyInHands["state"];
}

/** The one context of a join. */
export class PairContext extends EmittingContext implements JoinContext {
  key: Key = "";
  leftTimestamp = 0;
  rightTimestamp = 0;
  private readonly join: JoinFunction;
  private readonly state: KeyInHands["state"];

  constructor(operator: string, outputs: Outputs, { join, state }: PairContextOptions) {
    super(operator, outputs, {});
    this.join = join;
    this.state = state;
  }

  protected override get keyed(): KeyInHands {
    return { key: this.key, state: this.state };
  }

  meet(key: Key, left: unknown, leftTimestamp: number, right: unknown, rightTimestamp: number): void {
    this.key = key;
    this.leftTimestamp = leftTimestamp;
    this.rightTimestamp = rightTimestamp;
    this.beginAt(Math.max(leftTimestamp, rightTimestamp));
    const returned = this.join(left, right, this);
    if (returned !== undefined) {
      if (!isAnswer(returned)) refuseAnswer(this.operator, "the function answered", returned);
      this.emit(returned);
    }
    this.finish(undefined);
  }
}
