/**
 * What jobs make of input that has gone before it was read (P42), against what the streams have really lost.
 *
 * - LI1 A job that stops in front of a gap names exactly a range that is gone, and has put out nothing behind it. Where
 *   a gap is to stop it, it skips none before its user has said so.
 * - LI2 What a job has skipped, as its last positions count it, and what it has read make up all the sequences in front
 *   of these positions. What had gone before it began to read a split counts for neither; single messages that went
 *   away by design may.
 */
import type { JobRecord, Manifest, RestoreOrigin } from "../../../machines/protocol.ts";
import { splitsIn } from "../../../src/dataflow/operators/source.ts";
import { streamPositionIn } from "../../../src/formats/positions/stream-position.ts";
import type { DrawnJob, DrawnSource, Item } from "../jobs/drawing.ts";
import { RetainedStream } from "../jobs/ends/retained-stream.ts";

type Outputs = ReadonlyMap<string, readonly Item[]>;

const GAP =
  /stream "(?<stream>[^"]+)" begins at .* the job goes on at sequence \d+: sequences? (?<from>\d+)(?: to (?<to>\d+))? (?:is|are) gone/;

interface Begun {
  readonly incarnation: string;
  readonly generation: number;
  /** The sequences in front of it had gone. */
  readonly behind: number;
}

export class LostInput {
  readonly findings: string[] = [];
  readonly #drawn: DrawnJob;
  readonly #streams = new Map<string, readonly RetainedStream<Item>[]>();
  /** By stream: where generations that had no position have begun. */
  readonly #begun = new Map<string, Begun[]>();
  /** By incarnation: what it was restored from. */
  readonly #origins = new Map<string, RestoreOrigin>();
  /** Sources whose gaps have stopped the job: its user goes on without what is missing. */
  readonly #stopped = new Set<string>();
  #last: Manifest | undefined;
  /** What of it the run has had, in words. */
  readonly covered = new Set<string>();

  constructor(drawn: DrawnJob, nowMs: () => number) {
    this.#drawn = drawn;
    for (const { id, retention, splits } of drawn.sources)
      if (retention !== undefined)
        this.#streams.set(
          id,
          splits.map((_, i) => new RetainedStream(`${id}-${i}`, retention.limits, nowMs, ({ key }) => key)),
        );
  }

  /** undefined: the input of this source stays. */
  streamsOf(source: string): readonly RetainedStream<Item>[] | undefined {
    return this.#streams.get(source);
  }

  /** It was there, and is no more. @param at of the item: its sequence */
  readonly isGone = (source: string, split: number, at: number): boolean => {
    const stream = this.#streams.get(source)?.[split];
    return stream !== undefined && at <= stream.length && !stream.has(at);
  };

  /** How many messages are left. */
  get left(): number {
    let left = 0;
    for (const stream of [...this.#streams.values()].flat()) left += stream.after(0, stream.length).length;
    return left;
  }

  begun(source: string, split: number, begun: Begun): void {
    const stream = `${source}-${split}`;
    this.#begun.set(stream, [...(this.#begun.get(stream) ?? []), begun]);
  }

  recordStored({ incarnation, origin }: JobRecord): void {
    if (origin !== null) this.#origins.set(incarnation, origin);
  }

  /** The source whose gap has ended the job; undefined: that was something else. */
  gapIn(reason: string, outputs: Outputs): string | undefined {
    const { stream, from = "", to = from } = GAP.exec(reason)?.groups ?? {};
    const source = this.#drawn.sources.find(({ id }) => stream?.startsWith(`${id}-`));
    if (stream === undefined || source === undefined) return undefined;
    this.covered.add("a gap stops the job");
    this.#stopped.add(source.id);
    const split = Number(stream.slice(source.id.length + 1));
    const [first, last] = [Number(from), Number(to)];
    const there = range(first, last).filter((at) => !this.isGone(source.id, split, at));
    if (there.length > 0) this.findings.push(`${reason}: but ${there} are there`);
    const behind = this.#shown(source, split, outputs).filter((at) => at >= first);
    if (behind.length > 0) this.findings.push(`${reason}: but ${behind} were read`);
    if (source.retention?.gaps === "skip") this.findings.push(`${reason}: but gaps are to be skipped`);
    return source.id;
  }

  /** A checkpoint or savepoint is completed. */
  look(manifest: Manifest): void {
    const before = this.#last;
    const isNewer =
      before?.incarnation !== manifest.incarnation || before.checkpointId < manifest.checkpointId;
    if (isNewer) this.#last = manifest;
  }

  /** The job has come to its end, so its output is that of its last positions. */
  ended(outputs: Outputs): readonly string[] {
    const states = this.#last?.subtasks.flatMap((subtask) => subtask.states) ?? [];
    for (const source of this.#drawn.sources) {
      if (source.retention === undefined) continue;
      for (const found of splitsIn(states, source.id) ?? []) {
        const { position } = streamPositionIn(found.split, found.position) ?? {};
        if (position === undefined) continue;
        const { accounted, skipped } = position;
        if (skipped.sequences > 0) this.covered.add("a gap is skipped");
        if (skipped.sequences > 0 && source.retention.gaps === "fail" && !this.#stopped.has(source.id))
          this.findings.push(`source ${source.id}: a gap was skipped that was to stop the job`);
        const split = Number(found.split.id);
        const read = this.#shown(source, split, outputs).length;
        const before = this.#behind(`${source.id}-${split}`);
        const all = read + skipped.sequences + before;
        const mayLack = source.retention.limits.perSubjectMax !== undefined;
        if (all > accounted || (all < accounted && !mayLack))
          this.findings.push(
            `stream ${source.id}-${split}: ${read} were read and ${skipped.sequences} skipped behind ${before}, ` +
              `and the position is ${accounted}`,
          );
      }
    }
    return this.findings;
  }

  /**
   * Where the job has begun to read the stream. It may have begun anew since, and gone on from a savepoint that was cut
   * before that.
   */
  #behind(stream: string): number {
    const begun = this.#begun.get(stream) ?? [];
    let at: Pick<Manifest, "incarnation" | "generation"> | undefined = this.#last;
    while (at !== undefined) {
      const { incarnation, generation } = at;
      const found = begun.filter((one) => one.incarnation === incarnation && one.generation <= generation);
      if (found.length > 0) return found.reduce((a, b) => (b.generation >= a.generation ? b : a)).behind;
      at = this.#origins.get(incarnation);
    }
    return 0;
  }

  /** The sequences that were read, as the sink behind the source shows them. */
  #shown({ id }: DrawnSource, split: number, outputs: Outputs): readonly number[] {
    const shown = outputs.get(`tap-${id}`) ?? [];
    return shown.filter(({ by }) => by === `${id}/${split}`).map(({ at }) => at);
  }
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
