import type { Bid, NexmarkEvent } from "../../../src/examples/nexmark/events.ts";

export function* bidsIn(events: Iterable<NexmarkEvent>): Iterable<Bid> {
  for (const event of events) if (event.kind === "bid") yield event;
}

/** The value of `key`; if there is none yet, `absent` makes it. */
export function entryOf<K, V>(map: Map<K, V>, key: K, absent: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = absent();
    map.set(key, value);
  }
  return value;
}
