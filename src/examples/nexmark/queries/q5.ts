/** Q5, hot items: which auctions have had the most bids of the last ten seconds? Answered every two seconds. */
import { type Stream, slidingWindows, tumblingWindows } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

export interface HotAuction {
  readonly auction: number;
  readonly bids: number;
  /** The end of the ten seconds. */
  readonly end: number;
}

export function q5(events: Stream<NexmarkEvent>): Stream<HotAuction> {
  return (
    events
      .filter("bids", isBid)
      .map("auctions", ({ auction }) => auction)
      .keyBy((auction) => auction)
      .window(slidingWindows({ size: "10 s", slide: "2 s" }))
      .aggregate(
        "bids-per-auction",
        {
          createAccumulator: () => 0,
          add: (bids) => bids + 1,
          merge: (bids, later) => bids + later,
          getResult: (bids) => bids,
        },
        (bids, { key, window }): HotAuction => ({ auction: key, bids, end: window.end }),
      )
      // Counts of one window have the same time, so that a window of two seconds takes all of them and no others.
      .keyBy(({ end }) => end)
      .window(tumblingWindows({ size: "2 s" }))
      .aggregate("most-bids", {
        createAccumulator: (): readonly HotAuction[] => [],
        add: withHotter,
        getResult: (hottest) => hottest,
      })
      .flatMap("hot-auctions", (hottest) => hottest)
  );
}

function withHotter(hottest: readonly HotAuction[], auction: HotAuction): readonly HotAuction[] {
  const most = hottest[0]?.bids ?? 0;
  if (auction.bids < most) return hottest;
  return auction.bids > most ? [auction] : [...hottest, auction];
}
