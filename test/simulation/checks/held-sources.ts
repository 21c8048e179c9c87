/** A source that its machine holds, because the job stops with a savepoint, reads nothing until it is released. */
import type { SourceReader } from "../../../src/dataflow/source.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";

export class HeldSources {
  readonly findings: string[] = [];
  readonly #held = new Set<string>();

  /** @param process name of the one that the step is of */
  hear(process: string, { role, generation, id, effects }: FeedEvent): void {
    if (role !== "subtask") return;
    const subtask = nameOf(process, generation, id);
    if (effects.includes("hold.source")) this.#held.add(subtask);
    if (effects.includes("resume.source")) this.#held.delete(subtask);
  }

  /** @param id of the subtask: "s0/1" */
  watched<T>(reader: SourceReader<T>, process: string, generation: number, id: string): SourceReader<T> {
    const subtask = nameOf(process, generation, id);
    return {
      ...reader,
      // The spread above has copied what it was.
      get currentSplit() {
        return reader.currentSplit ?? 0;
      },
      poll: (collect, recordsMax) => {
        if (this.#held.delete(subtask)) this.findings.push(`${subtask} reads on although it is held`);
        return reader.poll(collect, recordsMax);
      },
    };
  }
}

const nameOf = (process: string, generation: number, id: string): string =>
  `${process}: ${id} of generation ${generation}`;
