/** Draws which source of a job reads streams that lose what is old, and how. */
import type { Random } from "../../chaos/random.ts";
import type { DrawnJob, DrawnRetention, DrawnSink, DrawnSource } from "./drawing.ts";

const SHARE = 0.25;
const AFTER_MS_MAX = 10_000;

/** Each source gets a sink right behind it: what such a job has read shows nowhere else. */
export function withRetention(drawn: DrawnJob, random: Random): DrawnJob {
  if (drawn.options.checkpointing?.mode === "at-least-once" || random.next() >= SHARE) return drawn;
  const chosen = random.pick(drawn.sources);
  const retention = drawRetention(random, chosen);
  const sources = drawn.sources.map((source) => (source === chosen ? { ...source, retention } : source));
  const taps = sources.filter(({ id }) => drawn.sinks.every((sink) => sink.taps !== id)).map(tapOf);
  return { ...drawn, sources, sinks: [...drawn.sinks, ...taps] };
}

/** A sink right behind a source: it shows how far that was read. */
export const tapOf = ({ id, parallelism }: DrawnSource): DrawnSink => ({
  id: `tap-${id}`,
  taps: id,
  inputs: [{ from: id, exchange: "forward" }],
  parallelism,
  guarantee: "exactly-once",
  partMessagesMax: 20,
});

function drawRetention(random: Random, { bounded, splits }: DrawnSource): DrawnRetention {
  // All of a bounded input is there from the beginning.
  const limits = bounded
    ? {}
    : random.pick([
        {},
        { messagesMax: random.between(2, 20) },
        { ageMsMax: random.between(500, 8000) },
        { perSubjectMax: random.between(1, 3) },
      ]);
  const purges = random.between(bounded || Object.keys(limits).length === 0 ? 1 : 0, 3);
  return {
    limits,
    gaps: random.pick([undefined, "fail", "skip"] as const),
    purges: Array.from({ length: purges }, () => ({
      afterMs: random.next() ** 2 * AFTER_MS_MAX,
      split: random.between(0, splits.length - 1),
      kept: random.pick([0, 0, 1, 3, 10]),
    })),
  };
}
