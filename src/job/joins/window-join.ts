/** What a job says of two keyed streams whose records meet in windows: `join` and `coGroup`. */
import { defineOperator } from "../../dataflow/operators/contract.ts";
import type { SidedLateRecord, SidedRecord } from "../../dataflow/operators/joins/window-join.ts";
import type { KeySelector } from "../../dataflow/operators/keyed/key-selector.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { WindowContext } from "../../dataflow/operators/windows/window-output.ts";
import type { Key } from "../../state/descriptor.ts";
import { checkFunction, type OperatorOptions } from "../definition.ts";
import type { Emitted, Nothing } from "../functions/process.ts";
import type { Stream } from "../stream.ts";
import type { WindowAssigner } from "../windows/assigners.ts";
import type { WindowOptions } from "../windows/options.ts";
import { WindowedStream } from "../windows/windowed-stream.ts";
import type { JoinedStreams } from "./interval-join.ts";

type LateOutput<T, Tag extends string> = { readonly [N in Tag]: SidedLateRecord<T> };

/** A trigger of the user's own gets the records of both sides as `{ side, value }`. */
export type JoinWindowOptions<Tag extends string = never> = Pick<
  WindowOptions<Tag>,
  "allowedLateness" | "lateOutput" | "trigger" | "endOfInput" | "replayClock" | "migrateWindows"
>;

type SidedFunction = (
  lefts: readonly unknown[],
  rights: readonly unknown[],
  context: WindowContext,
) => unknown;

/** Two keyed streams that are to be divided into windows. */
abstract class TwoSides {
  protected readonly streams: JoinedStreams;

  constructor(streams: JoinedStreams) {
    this.streams = streams;
  }
}

/** Windows over the records of both sides. */
abstract class SidedWindows {
  readonly #streams: JoinedStreams;
  readonly #assigner: WindowAssigner<never>;
  readonly #options: JoinWindowOptions<string> | undefined;

  constructor(
    streams: JoinedStreams,
    assigner: WindowAssigner<never>,
    options: JoinWindowOptions<string> | undefined,
  ) {
    this.#streams = streams;
    this.#assigner = assigner;
    this.#options = options;
  }

  protected run<Out, Side>(
    id: string,
    call: SidedFunction,
    options: OperatorOptions | undefined,
  ): Stream<Out, Side> {
    const { leftKey, rightKey, add } = this.#streams;
    const key = ({ side, value }: SidedRecord) => (side === "left" ? leftKey(value) : rightKey(value));
    const windowed = new WindowedStream<SidedRecord, Key, string>(
      ofValues(this.#assigner),
      this.#options,
      key as KeySelector,
      (windows, options) => add(defineOperator(kinds.windowJoin, id, { windows }), options),
    );
    const both = (records: readonly SidedRecord[], context: WindowContext) =>
      call(valuesOf(records, "left"), valuesOf(records, "right"), context);
    return windowed.process(id, both as never, options) as unknown as Stream<Out, Side>;
  }
}

/** Two keyed streams; `window` says which of their records meet. */
export class WindowJoin<Left, Right, K extends Key> extends TwoSides {
  /** Divides the records of both streams into windows, as at a keyed stream. */
  window<Tag extends string = never>(
    assigner: WindowAssigner<Left | Right>,
    options?: JoinWindowOptions<Tag>,
  ): WindowedJoin<Left, Right, K, Tag> {
    return new WindowedJoin(this.streams, assigner, options);
  }
}

export class WindowedJoin<Left, Right, K extends Key, Tag extends string> extends SidedWindows {
  /**
   * Calls `join` for each pair in a window, the records of the left stream in the outer loop. What it returns is
   * emitted, unless it is undefined; `context.emit` emits any number. A window in which one side is empty emits
   * nothing.
   */
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  process<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    join: (left: Left, right: Right, context: WindowContext<K, Out>) => Returned,
    options?: OperatorOptions,
  ): Stream<Emitted<Out, Returned>, LateOutput<Left | Right, Tag>> {
    checkFunction(id, "process", join);
    const pairs: SidedFunction = (lefts, rights, context) => {
      for (const left of lefts)
        for (const right of rights) {
          const returned = join(left as Left, right as Right, context as never);
          if (returned !== undefined) context.emit(returned);
        }
    };
    return this.run(id, pairs, options);
  }
}

/** Two keyed streams; `window` says which of their records belong together. */
export class CoGroup<Left, Right, K extends Key> extends TwoSides {
  /** Divides the records of both streams into windows, as at a keyed stream. */
  window<Tag extends string = never>(
    assigner: WindowAssigner<Left | Right>,
    options?: JoinWindowOptions<Tag>,
  ): WindowedCoGroup<Left, Right, K, Tag> {
    return new WindowedCoGroup(this.streams, assigner, options);
  }
}

export class WindowedCoGroup<Left, Right, K extends Key, Tag extends string> extends SidedWindows {
  /**
   * Calls `group` once for each key and window that has a record of either side; the list of the other side may be
   * empty, so outer joins can be made of it. What it returns is emitted, unless it is undefined.
   */
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  process<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    group: (lefts: readonly Left[], rights: readonly Right[], context: WindowContext<K, Out>) => Returned,
    options?: OperatorOptions,
  ): Stream<Emitted<Out, Returned>, LateOutput<Left | Right, Tag>> {
    checkFunction(id, "process", group);
    return this.run(id, group as SidedFunction, options);
  }
}

function valuesOf(records: readonly SidedRecord[], wanted: SidedRecord["side"]): unknown[] {
  return records.filter(({ side }) => side === wanted).map(({ value }) => value);
}

/** The same windows for records with a side: a gap of sessions that a function answers is asked for the value. */
function ofValues(assigner: WindowAssigner<never> | undefined): WindowAssigner<SidedRecord> {
  const gap: unknown = (assigner?.options as { readonly gap?: unknown } | undefined)?.gap;
  if (assigner === undefined || typeof gap !== "function") return assigner as never;
  const { name, options } = assigner;
  return { name, options: { ...options, gap: ({ value }: SidedRecord) => gap(value) } };
}
