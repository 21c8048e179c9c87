/**
 * What our engine is measured against, each in a process of its own, started by main.ts.
 *
 * - `stock URL STREAM RECORDS`: the library's ordered consumer in its fastest form (a callback, 5000 messages a pull,
 *   `msg.json()`), the same counting in one Map. No guarantee, no output: after a crash all of it is gone.
 * - `parse RECORDS KEYS`: JSON.parse of frames of 100 from memory and the same counting. No transport at all.
 */
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { add, type Bid, bidPool, isTenth, NO_TOTAL, type Total } from "../jobs/workload.ts";
import { Progress } from "./progress.ts";

const FRAME = 100;
const totals = new Map<string, Total>();
const progress = new Progress();
let hits = 0;

function count(bid: Bid): void {
  const total = add(totals.get(bid.bidder) ?? NO_TOTAL, bid);
  totals.set(bid.bidder, total);
  if (isTenth(bid.bidder, total.count)) hits++;
  progress.count();
}

async function readStock(url: string, stream: string, records: number): Promise<void> {
  const connection = await connect({ servers: url });
  const consumer = await jetstream(connection).consumers.get(stream);
  let read = 0;
  await new Promise<void>((resolve) => {
    void consumer.consume({
      max_messages: 5000,
      callback: (message) => {
        if (read === records) return;
        count(message.json<Bid>());
        if (++read === records) resolve();
      },
    });
  });
  progress.mark();
  process.stdout.write(`hits ${hits}\n`);
  await connection.close();
  process.exit();
}

/** The records of the framed stream, over a pool: parsed from the bytes that a transport would deliver. */
function parseFrames(records: number, keys: number): void {
  const bid = bidPool(keys);
  const frames: Buffer[] = [];
  for (let index = 0; index < 2 * keys; index += FRAME) {
    frames.push(Buffer.from(JSON.stringify(Array.from({ length: FRAME }, (_, i) => bid(index + i)))));
  }
  const random = frames.length / 2;
  for (let at = 0; at * FRAME < records; at++) {
    const frame = frames[at < random ? at : random + (at % random)]!;
    for (const each of JSON.parse(frame.toString("utf8")) as Bid[]) count(each);
  }
  progress.mark();
}

const [kind, ...rest] = process.argv.slice(2);
if (kind === "stock") await readStock(rest[0]!, rest[1]!, Number(rest[2]));
else parseFrames(Number(rest[0]), Number(rest[1]));
