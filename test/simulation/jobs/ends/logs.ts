/** What a source reads: logs in which everything stays, or streams that lose what is old. */
import { MemoryLog } from "../../../../src/connectors/memory-source.ts";
import type { DrawnSource, Item } from "../drawing.ts";
import type { RetainedStream } from "./retained-stream.ts";

export type Log = MemoryLog<Item> | RetainedStream<Item>;

/** With what is there when the job is submitted. @param streams default: nothing is lost */
export function logsOf(
  { splits, there }: DrawnSource,
  streams: readonly Log[] = splits.map(() => new MemoryLog<Item>()),
): readonly Log[] {
  for (const [i, items] of splits.entries()) streams[i]!.append(...items.slice(0, there[i]));
  return streams;
}
