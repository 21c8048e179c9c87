/** Readers of one stream, "S", and what they give. */
import { jetstream, type StreamConfig } from "@nats-io/jetstream";
import { systemClock } from "../../../src/clock.ts";
import type { Logger } from "../../../src/dataflow/connector.ts";
import type { ReadPosition } from "../../../src/formats/positions/stream-position.ts";
import {
  SequentialReader,
  type SequentialReaderOptions,
} from "../../../src/nats/reader/sequential-reader.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { StreamServer } from "../../support/servers/stream-server.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** The position of a reader that has read so far, and passed over nothing. */
export const at = (read: number): ReadPosition => ({
  read,
  accounted: read,
  skipped: { ranges: 0, sequences: 0 },
});

/** Both ends included. */
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

interface Read<T> {
  readonly sequences: number[];
  readonly values: T[];
  readonly timestamps: number[];
}

export class ReaderServer extends StreamServer {
  /** Each message is acknowledged, because a stream drops what it has no room for; many are under way at once. */
  fill = async (
    total: number,
    subject: (index: number) => string,
    payload: (index: number) => string,
  ): Promise<void> => {
    const js = jetstream(this.connection);
    for (let from = 0; from < total; from += 500) {
      const to = Math.min(total, from + 500);
      await Promise.all(range(from, to - 1).map((index) => js.publish(subject(index), payload(index))));
    }
  };

  /** @returns when it was created */
  makeStream = async (total: number, config: Partial<StreamConfig> = {}): Promise<string> => {
    const { created } = await this.manager.streams.add({ name: "S", subjects: ["s.>"], ...config });
    await this.fill(
      total,
      (index) => `s.${index % 4}`,
      (index) => `record ${index + 1}`,
    );
    return created;
  };

  makeReader = <T = string>(
    options: Partial<SequentialReaderOptions<T>> & { created: string },
  ): SequentialReader<T> =>
    this.closedAfterwards(
      new SequentialReader<T>({
        nats: this.nats,
        logger: silent,
        job: "words",
        operator: "lines",
        stream: "S",
        filters: [],
        gaps: "fail",
        decode: "text",
        heartbeatMs: 300,
        reading: new Troubles(systemClock).watch("reading stream S"),
        ...options,
      }),
    );
}

/** Polls until the end, or until `enough` records were read. */
export async function read<T>(
  reader: SequentialReader<T>,
  options: { enough?: number; recordsMax?: number; eachTurn?: () => Promise<void> | void } = {},
): Promise<Read<T>> {
  const result: Read<T> = { sequences: [], values: [], timestamps: [] };
  for (;;) {
    let wake: (() => void) | undefined;
    const available = new Promise<void>((resolve) => {
      wake = resolve;
    });
    reader.onAvailable(() => wake?.());
    const status = reader.poll((value, timestamp) => {
      result.sequences.push(reader.read);
      result.values.push(value);
      result.timestamps.push(timestamp);
    }, options.recordsMax ?? 256);
    if (status === "ended" || result.values.length >= (options.enough ?? Number.POSITIVE_INFINITY))
      return result;
    await options.eachTurn?.();
    if (status === "idle") await available;
    else await new Promise(setImmediate);
  }
}
