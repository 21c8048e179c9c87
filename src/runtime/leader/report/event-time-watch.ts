/**
 * The event time of a job on its leader: what `status` shows of it, and the word to the user when it does not go on.
 *
 * Owns: what was told, so that each standstill is told once. Does not own: who holds it (time-holders.ts).
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { Clock } from "../../../clock.ts";
import type { OperatorsTime, TimeHolder } from "../../../control/event-time-messages.ts";
import type { SubtaskReport } from "../../../control/messages.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { EventFeed } from "../../../observe/feed.ts";
import { holderName, timesOfOperators } from "./time-holders.ts";

/** Event time that stands for so long, while records come, is told. */
const STANDSTILL_TOLD_AFTER_MS = 5 * 60_000;
const LOOK_EVERY_MS = 10_000;

export interface EventTimeWatchOptions {
  readonly job: string;
  readonly clock: Clock;
  readonly feed: EventFeed;
  readonly logger: Logger;
  readonly record: () => Pick<JobRecord, "plan" | "generation">;
  readonly subtasks: () => readonly SubtaskReport[];
}

interface Standstill {
  readonly watermark: number | null;
  /** The least that the subtasks had taken all together, since it stands there. */
  recordsIn: number;
  isTold: boolean;
}

export class EventTimeWatch {
  readonly #options: EventTimeWatchOptions;
  /** By holder. */
  readonly #standstills = new Map<string, Standstill>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(options: EventTimeWatchOptions) {
    this.#options = options;
  }

  report(): OperatorsTime[] {
    return timesOfOperators(this.#options.record().plan, this.#options.subtasks());
  }

  /** Called whenever a worker has said something new. */
  look(): void {
    const { clock, subtasks } = this.#options;
    if (clock.elapsedMs() - this.#lookedMs < LOOK_EVERY_MS) return;
    this.#lookedMs = clock.elapsedMs();
    const recordsIn = subtasks().reduce((sum, one) => sum + one.recordsIn, 0);
    for (const { holders } of this.report()) for (const holder of holders) this.#note(holder, recordsIn);
  }

  #note(holder: TimeHolder, recordsIn: number): void {
    const { watermark, sinceMs } = holder;
    const name = holderName(holder);
    const known = this.#standstills.get(name);
    const standstill = known?.watermark === watermark ? known : { watermark, recordsIn, isTold: false };
    this.#standstills.set(name, standstill);
    // A restart begins to count anew.
    standstill.recordsIn = Math.min(standstill.recordsIn, recordsIn);
    const standsMs = this.#options.clock.nowMs() - sinceMs;
    if (standstill.isTold || standsMs < STANDSTILL_TOLD_AFTER_MS || recordsIn === standstill.recordsIn)
      return;
    standstill.isTold = true;
    this.#tell(holder);
  }

  #tell(holder: TimeHolder): void {
    const { logger, feed, clock, job, record } = this.#options;
    logger.warn({ job, ...holder }, `event time does not go on: "tidemark doctor ${job}" says why`);
    feed.publish({
      t: clock.nowMs(),
      job,
      generation: record().generation,
      role: "job",
      id: holder.subtask,
      event: "watermark.held",
      from: "",
      to: "",
      effects: [],
      ...holder,
    });
  }
}
