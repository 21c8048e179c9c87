/** The events outside of the engine: for the oracles, and for another engine that reads them from a file. */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SeededRandom } from "../../src/connectors/seeded-random.ts";
import type { NexmarkEvent } from "../../src/examples/nexmark/events.ts";
import { type NexmarkOptions, nexmarkEvents } from "../../src/examples/nexmark/generator.ts";

export interface EventRange extends NexmarkOptions {
  readonly seed: number;
  readonly count: number;
}

/** The events as `generatorSource` makes them. */
export function* eventsOf({ seed, count, ...options }: EventRange): Iterable<NexmarkEvent> {
  const generate = nexmarkEvents(options);
  const random = new SeededRandom();
  for (let index = 0; index < count; index++) {
    random.start(seed, index);
    yield generate(index, random.next);
  }
}

const LINES_AT_A_TIME = 1000;

/** One JSON object a line. */
export async function writeEvents(path: string, range: EventRange): Promise<void> {
  await pipeline(Readable.from(pages(range)), createWriteStream(path));
}

function* pages(range: EventRange): Iterable<string> {
  let lines: string[] = [];
  for (const event of eventsOf(range)) {
    lines.push(`${JSON.stringify(event)}\n`);
    if (lines.length < LINES_AT_A_TIME) continue;
    yield lines.join("");
    lines = [];
  }
  yield lines.join("");
}
