/**
 * The source of one subtask: what its records come from, and how far they had been read at each checkpoint.
 *
 * Owns: the reader, the positions of checkpoints that are not decided yet, where a drained source ends. Does not own:
 * when it is read (turns.ts), when it is held (machines/worker/subtask.ts), which splits it is dealt
 * (dataflow/source.ts).
 */
import type { StateHandle } from "../../../../machines/protocol.ts";
import type { SubtaskEnvironment } from "../../../dataflow/connector.ts";
import { firstOf } from "../../../dataflow/graph.ts";
import { openReader } from "../../../dataflow/guards/guarded-source.ts";
import { isSplits, splitsHandle, splitsIn } from "../../../dataflow/operators/source.ts";
import {
  type Collect,
  type PollStatus,
  positionsOf,
  type Skipped,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
  splitsOf,
} from "../../../dataflow/source.ts";
import { invariant, OperatorError, SourcePositionError } from "../../../errors.ts";
import type { SubtaskInput } from "./input.ts";
import type { OpenParts } from "./open-parts.ts";
import { SkippedInput } from "./skipped-input.ts";
import type { SubtaskOptions } from "./subtask.ts";

/** Records taken from a source between two looks at room and clock. */
const RECORDS_PER_POLL = 128;

/** @param head takes what is read. @param parts the reader becomes one of them */
export async function openSource(
  options: SubtaskOptions,
  environmentOf: (operator: string) => SubtaskEnvironment,
  head: Collect<unknown>,
  parts: OpenParts,
): Promise<SubtaskInput> {
  const { vertex, index, deployment, restore } = options;
  const operator = firstOf(vertex);
  const { source } = operator.details;
  invariant(source !== undefined, `vertex ${vertex.id} has neither a source nor an input`);
  if (restore.finished) return new EndedSource(restore.states.filter(isSplits));
  const splits = deployment.splits[operator.id] ?? [];
  const dealt = splitsOf(splits, index, vertex.parallelism) as SourceSplit[];
  const positions = positionsOf(splitsIn(restore.states, operator.id), dealt, splits);
  const reader = parts.add(await openReader(operator.id, source, environmentOf(operator.id), positions));
  return new ReadingSource({ ...options, operator: operator.id, reader, head });
}

interface ReadingSourceOptions
  extends Pick<SubtaskOptions, "vertex" | "index" | "clock" | "feed" | "deployment"> {
  readonly operator: string;
  readonly reader: SourceReader<unknown>;
  readonly head: Collect<unknown>;
}

class ReadingSource implements SubtaskInput {
  readonly #operator: string;
  readonly #index: number;
  readonly #reader: SourceReader<unknown>;
  readonly #collect: Collect<unknown>;
  readonly #skipped: SkippedInput;
  /** The positions of each checkpoint that is not decided yet. */
  readonly #positions = new Map<number, readonly SplitPosition[]>();
  #records = 0;
  #ended = false;
  #drained = false;
  #wake: () => void = () => {};

  constructor({ operator, index, reader, head, vertex, ...place }: ReadingSourceOptions) {
    this.#operator = operator;
    this.#index = index;
    this.#reader = reader;
    this.#skipped = new SkippedInput(reader, `${vertex.id}/${index}`, place);
    this.#collect = (value, timestamp) => {
      this.#records++;
      head(value, timestamp);
    };
  }

  get records(): number {
    return this.#records;
  }

  take(): PollStatus {
    if (this.#ended) return "idle";
    if (this.#drained) {
      this.#ended = true;
      return "ended";
    }
    try {
      const status = this.#reader.poll(this.#collect, RECORDS_PER_POLL);
      this.#ended = status === "ended";
      return status;
    } catch (error) {
      // It is no failure of user code, and names its place itself.
      if (error instanceof SourcePositionError) throw error;
      const located = error instanceof OperatorError ? error : new OperatorError(this.#operator, error);
      throw located.at(this.#reader.describePosition());
    }
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
    this.#reader.onAvailable(wake);
  }

  drain(): void {
    this.#drained = true;
    this.#wake();
  }

  cut(checkpointId: number): readonly StateHandle[] {
    const positions = this.#reader.snapshot();
    this.#positions.set(checkpointId, positions);
    return [splitsHandle(this.#operator, this.#index, positions)];
  }

  confirm(checkpointId: number): void {
    const positions = this.#positions.get(checkpointId);
    for (const id of this.#positions.keys()) if (id <= checkpointId) this.#positions.delete(id);
    if (positions !== undefined) this.#reader.checkpointCompleted(positions);
  }

  abort(checkpointId: number): void {
    this.#positions.delete(checkpointId);
  }

  describePosition(): string {
    return this.#reader.describePosition();
  }

  skipped(): Skipped | null {
    return this.#skipped.report();
  }
}

/**
 * A source whose input had ended before the restored checkpoint: its splits are handed on from checkpoint to
 * checkpoint.
 */
class EndedSource implements SubtaskInput {
  readonly records = 0;
  readonly #splits: readonly StateHandle[];

  constructor(splits: readonly StateHandle[]) {
    this.#splits = splits;
  }

  take(): "idle" {
    return "idle";
  }

  onAvailable(): void {}

  drain(): void {}

  cut(): readonly StateHandle[] {
    return this.#splits;
  }

  confirm(): void {}

  abort(): void {}

  describePosition(): string {
    return "the end of its input";
  }

  skipped(): null {
    return null;
  }
}
