/**
 * Asks the server about the holes of one split, until all that matters is judged.
 *
 * Owns: that one question is under way at a time, that it is asked again when no answer comes, and how long a stream
 * may be missing. Does not own: what an answer means (gap-judge.ts), whether it still matters (sequential-reader.ts).
 *
 * - GI1 A hole that matters is asked about until it is judged, or the connection is closed: `ask` is called whenever
 *   one comes up, and one call is enough for all that come up meanwhile.
 * - GI2 A stream counts as missing only when the server has said so for MISSING_STREAM_CONFIRMED_MS.
 */
import type { StreamInfo } from "@nats-io/jetstream";
import type { TroubleWatch } from "../../../dataflow/trouble.ts";
import { pause } from "../../../timer.ts";
import type { NatsEnvironment } from "../../connection/environment.ts";
import { isStreamNotFound, MISSING_STREAM_CONFIRMED_MS } from "../consumer-maker.ts";
import type { GapJudge } from "./gap-judge.ts";
import { missingStream } from "./stream-position.ts";
import type { StreamState } from "./stream-state.ts";

interface InquiryOptions {
  readonly nats: NatsEnvironment;
  readonly stream: string;
  readonly job: string;
  readonly operator: string;
  readonly reading: TroubleWatch;
}

/** What the reader is asked and told. */
interface InquiringReader {
  /** Something is missing, and its judgement matters. */
  wanted(): boolean;
  /** An answer was judged: records may have been released. */
  judged(): void;
  /** Reading ends in front of what is missing. */
  failed(problem: Error): void;
}

const RETRY_WAIT_FIRST_MS = 20;
const RETRY_WAIT_MAX_MS = 500;

export class GapInquiry<T> {
  readonly #options: InquiryOptions;
  readonly #judge: GapJudge<T>;
  readonly #reader: InquiringReader;
  readonly #streamState: StreamState;
  #underWay = false;

  constructor(
    options: InquiryOptions,
    judge: GapJudge<T>,
    reader: InquiringReader,
    streamState: StreamState,
  ) {
    this.#options = options;
    this.#judge = judge;
    this.#reader = reader;
    this.#streamState = streamState;
  }

  ask(): void {
    if (this.#underWay || !this.#reader.wanted()) return;
    this.#underWay = true;
    void this.#untilJudged().finally(() => {
      this.#underWay = false;
    });
  }

  async #untilJudged(): Promise<void> {
    const { nats, reading } = this.#options;
    let waitMs = RETRY_WAIT_FIRST_MS;
    let missingSince: number | undefined;
    let failed = false;
    while (this.#reader.wanted()) {
      const asked = this.#judge.ask();
      let info: StreamInfo;
      try {
        info = await this.#streamState.read();
      } catch (error) {
        const now = performance.now();
        missingSince = isStreamNotFound(error) ? (missingSince ?? now) : undefined;
        if (missingSince !== undefined && now - missingSince >= MISSING_STREAM_CONFIRMED_MS)
          return this.#reader.failed(missingStream(this.#options, this.#judge.reached, error));
        if (nats.connection.isClosed()) return;
        failed = true;
        reading.failed(error);
        await pause(waitMs);
        waitMs = Math.min(2 * waitMs, RETRY_WAIT_MAX_MS);
        continue;
      }
      if (failed) reading.passed();
      failed = false;
      if (!this.#reader.wanted()) return;
      const problem = this.#judge.answered(info, asked);
      if (problem !== undefined) return this.#reader.failed(problem);
      this.#reader.judged();
    }
  }
}
