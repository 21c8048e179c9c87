/** What a source has skipped because it had gone before it was read (P42): for reports, and told in the event feed. */
import type { SubtaskName } from "../../../../../machines/protocol.ts";
import type { Clock } from "../../../../clock.ts";
import type { Deployment } from "../../../../control/messages.ts";
import type { Skipped, SourceReader } from "../../../../dataflow/source.ts";
import type { EventFeed } from "../../../../observe/feed.ts";

interface Place {
  readonly clock: Clock;
  readonly feed: EventFeed;
  readonly deployment: Deployment;
}

export class SkippedInput {
  readonly #reader: SourceReader<unknown>;
  readonly #subtask: SubtaskName;
  readonly #place: Place;
  #rangesTold = 0;

  constructor(reader: SourceReader<unknown>, subtask: SubtaskName, place: Place) {
    this.#reader = reader;
    this.#subtask = subtask;
    this.#place = place;
  }

  /** The input that was skipped; null: none yet. Tells the event feed when it has become more. */
  report(): Skipped | null {
    const skipped = this.#reader.skipped?.();
    if (skipped === undefined || skipped.ranges === 0) return null;
    if (skipped.ranges > this.#rangesTold) {
      this.#rangesTold = skipped.ranges;
      this.#tell(skipped);
    }
    return skipped;
  }

  #tell(skipped: Skipped): void {
    const { clock, feed, deployment } = this.#place;
    feed.publish({
      t: clock.nowMs(),
      job: deployment.job,
      generation: deployment.generation,
      role: "source",
      id: this.#subtask,
      event: "source.skipped",
      from: "",
      to: "",
      effects: [],
      ...skipped,
    });
  }
}
