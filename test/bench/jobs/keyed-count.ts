/** Workload W1 as a job, in all its variants (variant.ts). */
import {
  defineJob,
  generatorSource,
  jetstreamSink,
  jetstreamSource,
  type Source,
  type Stream,
  valueState,
} from "../../../src/index.ts";
import { Progress } from "../processes/progress.ts";
import { discardSink } from "./discard-sink.ts";
import { shapedSource } from "./shaped-source.ts";
import { type LightInput, type Variant, variantOfEnvironment } from "./variant.ts";
import {
  add,
  type Bid,
  type Bidder,
  bidPool,
  isTenth,
  NO_TOTAL,
  nameOf,
  numberedBidPool,
  numberedPairPool,
  type Used,
} from "./workload.ts";

interface Hit {
  readonly bidder: Bidder;
  readonly count: number;
}

const variant = variantOfEnvironment();
const { name, input, ratePerSecond, parallelism, intervalMs } = variant;
const progress = new Progress();

const times = variant.timed === true ? await eventTime() : {};

export default defineJob(
  name,
  {
    parallelism,
    checkpointing: {
      ...(intervalMs === undefined ? {} : { interval: intervalMs }),
      ...variant.checkpointing,
    },
    ...(variant.state === undefined ? {} : { state: variant.state }),
    // The default waits a second before the first restart and longer before each later one.
    restart: { strategy: "fixed-delay", attempts: 1000, delay: "100 ms" },
  },
  (job) => {
    let bids: Stream<Used>;
    if (input.kind === "framed") {
      const source: Source<Bid[]> = jetstreamSource<Bid[]>({
        stream: input.stream,
        until: "end",
        progress: false,
      });
      bids = job.source("bids", shapedSource(source, { end: input.end })).flatMap("unpack", (frame) => frame);
    } else {
      bids = job.source("bids", source(variant), times);
    }
    if (variant.projected === true) bids = bids.map("project", ({ bidder, price }) => ({ bidder, price }));
    bids
      .keyBy((bid) => bid.bidder)
      .process("count", {
        state: { total: valueState(NO_TOTAL) },
        onRecord(bid, { state, emit }) {
          const total = add(state.total.get(), bid);
          state.total.set(total);
          progress.count();
          if (isTenth(bid.bidder, total.count)) emit({ bidder: bid.bidder, count: total.count });
        },
      })
      .sink("hits", variant.sink === "discard" ? discardSink<Hit>() : hits());
  },
);

/** Found by name when it is asked for: copies that are compared may have no event time yet. */
async function eventTime() {
  const { boundedOutOfOrderness } = await import("../../../src/index.ts");
  return {
    timestamp: (bid: Used) => (bid as Bid<Bidder>).dateTime,
    watermarks: boundedOutOfOrderness("5 s"),
  };
}

function source({ input }: Variant): Source<Used> {
  switch (input.kind) {
    case "generator": {
      const generate = poolOf(input.records)(input.keys);
      return generatorSource<Used>({ splits: parallelism, count: input.count, generate });
    }
    case "light":
      return lightSource(input, ratePerSecond);
    default: {
      const { stream, end } = input;
      const reader = input.kind === "jetstream" && input.reader !== undefined ? { reader: input.reader } : {};
      const bids: Source<Bid> = jetstreamSource<Bid>({ stream, until: "end", progress: false, ...reader });
      return shapedSource(bids, { end, ratePerSecond });
    }
  }
}

function lightSource(input: LightInput, ratePerSecond: number | undefined): Source<Used> {
  const { keys, count, numbered = false } = input;
  let reached = 0;
  const bids: Source<Used> = generatorSource<Used>({
    ...(count === undefined ? {} : { count }),
    splits: parallelism,
    generate: (index, random) => {
      reached = index;
      const bidder = index < keys ? index : drawn(input, random);
      return { bidder: numbered ? bidder : nameOf(bidder), price: 1 + (index % 1000) };
    },
  });
  // At full speed until all keys are there: with many of them that would take too long.
  return shapedSource(bids, { ratePerSecond, isHeld: () => reached >= keys });
}

/** The number of a key. */
function drawn({ keys, hot }: LightInput, random: () => number): number {
  if (hot !== undefined && random() < hot.share) return Math.floor(random() * hot.keys);
  return Math.floor(random() * keys);
}

function poolOf(records: "numbered-bids" | "numbered-pairs" | undefined) {
  if (records === undefined) return bidPool;
  return records === "numbered-bids" ? numberedBidPool : numberedPairPool;
}

function hits() {
  return jetstreamSink<Hit>({
    stream: `OUT_${name}`,
    subject: `out.${name}`,
    subjects: [`out.${name}`],
    provision: true,
  });
}
