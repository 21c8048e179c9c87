/** Adds rules to a drawn job that come from a source of their own, which has nothing more to tell for a while. */
import type { Random } from "../../../chaos/random.ts";
import {
  type DrawnJob,
  type DrawnOperator,
  type DrawnSource,
  type Item,
  KEYS,
  type KeyKind,
  N_MAX,
} from "../drawing.ts";
import { withAdded } from "../lives/changed-graph.ts";
import { tapOf } from "../retention.ts";
import { isWorthIt } from "./further-kinds.ts";
import { withWait } from "./more-kinds.ts";

const SHARE = 0.15;
const KEY_KINDS: readonly KeyKind[] = ["number", "text", "bigint", "boolean"];

/** What comes for keys may wait until the rules that are there have been read, which idleness shows. */
export function withIdleRules(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= SHARE || drawn.acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  // What one operator waits for must not be held back at another one.
  if (drawn.operators.some(({ waitFor }) => waitFor !== undefined)) return drawn;
  const source = drawSource(drawn, random);
  const parallelism = random.between(1, Math.min(3, drawn.workers * drawn.worker.slots));
  const rules: DrawnOperator = {
    id: "rules",
    kind: "rules",
    ports: [
      [{ from: random.pick(drawn.sources).id, exchange: "forward" }],
      [{ from: source.id, exchange: "forward" }],
    ],
    parallelism,
    a: 1,
    b: 1,
    keys: random.pick(KEY_KINDS),
  };
  const taps = drawn.sinks.some((sink) => sink.taps !== undefined) ? [tapOf(source)] : [];
  const withSource = {
    ...drawn,
    sources: [...drawn.sources, source],
    sinks: [...drawn.sinks, ...taps],
  };
  const job = withAdded(withSource, rules, [
    {
      id: "rules-out",
      inputs: [{ from: "rules", exchange: "forward" }],
      parallelism,
      guarantee: "exactly-once",
      partMessagesMax: 20,
    },
  ]);
  return isWorthIt(drawn, job) ? withWait(random, job, rules) : drawn;
}

/** Something of each split is there from the beginning, so that rules are there when the source is idle. */
function drawSource({ sources }: DrawnJob, random: Random): DrawnSource {
  const id = "r0";
  const splits = Array.from({ length: random.between(1, 2) }, (_, split) =>
    Array.from(
      { length: random.between(1, 6) },
      (__, i): Item => ({
        by: `${id}/${split}`,
        key: random.between(0, KEYS - 1),
        at: i + 1,
        n: random.between(0, N_MAX - 1),
      }),
    ),
  );
  // A job that ends stays one that ends.
  const bounded = sources.every((one) => one.bounded);
  return {
    id,
    bounded,
    parallelism: random.between(1, 2),
    splits,
    there: splits.map(({ length }) => (bounded ? length : random.between(1, length))),
    comesEveryMs: random.between(100, 1000),
    pollsPerSecond: random.between(3, 25),
    recordsPerPoll: random.pick([1, 2]),
    time: { disorder: 0, bound: 0, intervalMs: 200, idleAfterMs: random.between(200, 2000) },
  };
}
