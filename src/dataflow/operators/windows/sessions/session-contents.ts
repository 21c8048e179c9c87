/** What sessions hold: an accumulator in the session itself, or records in rows of their own. */
import type { StateTable } from "../../../../state/contract.ts";
import type { Aggregation } from "../aggregation.ts";
import {
  CheckedAggregation,
  type ContentsOptions,
  RECORDS,
  refuseUnlessPlain,
  resultOf,
} from "../contents.ts";

/** All calls are about the current key. What they answer is plain data, and belongs into the session. */
export interface SessionContents {
  /** @param start of the session, which no other one of the key has */
  first(value: unknown, start: number): unknown;
  add(held: unknown, value: unknown): unknown;
  merge(held: unknown, later: unknown): unknown;
  /** What `result` needs. */
  read(held: unknown): unknown;
  result(read: unknown): unknown;
  drop(held: unknown): void;
}

export class SessionAccumulators extends CheckedAggregation implements SessionContents {
  read(held: unknown): unknown {
    return held;
  }

  drop(): void {}
}

/** Records that came one behind the other: their rows have the namespaces `<id>/<index>`. */
export interface Part {
  readonly id: number;
  readonly count: number;
}

export class SessionRecords implements SessionContents {
  private readonly table: StateTable;
  private readonly checks: boolean;
  private readonly aggregation: Aggregation | undefined;

  /** @param table of the records. Default: that of the windows that the job has. */
  constructor({ state, checks }: ContentsOptions, aggregation: Aggregation | undefined, table = RECORDS) {
    this.table = state.table(table);
    this.checks = checks;
    this.aggregation = aggregation;
  }

  first(value: unknown, start: number): readonly Part[] {
    return [this.append({ id: start, count: 0 }, value)];
  }

  add(held: unknown, value: unknown): readonly Part[] {
    const parts = held as readonly Part[];
    const last = parts[parts.length - 1]!;
    return [...parts.slice(0, -1), this.append(last, value)];
  }

  merge(held: unknown, later: unknown): readonly Part[] {
    return [...(held as readonly Part[]), ...(later as readonly Part[])];
  }

  read(held: unknown): readonly unknown[] {
    const records: unknown[] = [];
    this.eachRow(held, () => records.push(this.table.read()));
    return records;
  }

  result(read: unknown): unknown {
    return resultOf(read as readonly unknown[], this.aggregation);
  }

  drop(held: unknown): void {
    this.eachRow(held, () => this.table.remove());
  }

  private append({ id, count }: Part, value: unknown): Part {
    if (this.checks) refuseUnlessPlain(value);
    this.table.setCurrentNamespace(`${id}/${count}`);
    this.table.write(value);
    return { id, count: count + 1 };
  }

  private eachRow(held: unknown, act: () => void): void {
    for (const { id, count } of held as readonly Part[]) {
      for (let i = 0; i < count; i++) {
        this.table.setCurrentNamespace(`${id}/${i}`);
        act();
      }
    }
  }
}
