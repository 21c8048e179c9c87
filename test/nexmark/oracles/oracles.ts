/**
 * The answers to the queries, recomputed by straight loops over all events, with no code of the engine's or of the
 * queries'. An event's place in the input does not matter to any of them.
 */
import type { NexmarkEvent } from "../../../src/examples/nexmark/events.ts";
import type { QueryName } from "../../../src/examples/nexmark/queries/index.ts";
import { type Collected, type Digest, everyRow, lastRowOf, sumOfCounts } from "./digest.ts";
import { averagePrices, localItems } from "./joins.ts";
import { bidsAsTheyAre, bidsInEuros, bidsOfSomeAuctions } from "./single-events.ts";
import { allBids, highestBids, hotAuctions, newSellers, sessions } from "./windows.ts";

interface Oracle {
  /** What of a query's results is compared. */
  readonly collected: () => Collected;
  readonly rows: (events: Iterable<NexmarkEvent>) => Iterable<object>;
}

export const ORACLES: Readonly<Record<QueryName, Oracle>> = {
  q0: { collected: everyRow, rows: bidsAsTheyAre },
  q1: { collected: everyRow, rows: bidsInEuros },
  q2: { collected: everyRow, rows: bidsOfSomeAuctions },
  q3: { collected: everyRow, rows: localItems },
  q4: { collected: () => lastRowOf<{ category: number }>(({ category }) => category), rows: averagePrices },
  q5: { collected: everyRow, rows: hotAuctions },
  q7: { collected: everyRow, rows: highestBids },
  q8: { collected: everyRow, rows: newSellers },
  q11: { collected: everyRow, rows: sessions },
  q12: { collected: () => sumOfCounts<{ bids: number }>(({ bids }) => bids), rows: allBids },
};

/** The digest of the right answer. */
export function answerOf(query: QueryName, events: Iterable<NexmarkEvent>): Digest {
  const { collected, rows } = ORACLES[query];
  const answer = collected();
  for (const row of rows(events)) answer.add(row);
  return answer.digest();
}
