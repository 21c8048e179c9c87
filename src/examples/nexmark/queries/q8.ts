/** Q8, new users: who has come and opened an auction within the same ten seconds? A join of two streams by window. */
import { type Stream, tumblingWindows } from "tidemark";
import { isAuction, isPerson, type NexmarkEvent } from "../events.ts";

interface Seen {
  readonly person: number;
  /** undefined: they opened an auction. */
  readonly name: string | undefined;
}

interface Done {
  /** undefined: they have not come. */
  readonly name: string | undefined;
  readonly sells: boolean;
}

export interface NewSeller {
  readonly id: number;
  readonly name: string;
  /** The beginning of the ten seconds. */
  readonly start: number;
}

export function q8(events: Stream<NexmarkEvent>): Stream<NewSeller> {
  const people = events
    .filter("people", isPerson)
    .map("come", ({ id, name }): Seen => ({ person: id, name }));
  const sellers = events
    .filter("auctions", isAuction)
    .map("sell", ({ seller }): Seen => ({ person: seller, name: undefined }));
  return people
    .union(sellers)
    .keyBy(({ person }) => person)
    .window(tumblingWindows({ size: "10 s" }))
    .aggregate(
      "new-sellers",
      {
        createAccumulator: (): Done => ({ name: undefined, sells: false }),
        add: (done, { name }): Done => ({ name: name ?? done.name, sells: done.sells || name === undefined }),
        getResult: (done) => done,
      },
      ({ name, sells }, { key, window }): NewSeller | undefined =>
        name !== undefined && sells ? { id: key, name, start: window.start } : undefined,
    );
}
