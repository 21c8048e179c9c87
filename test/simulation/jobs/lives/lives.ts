/**
 * Draws where a user parts from the latest state of a job: the user goes back, begins anew, or lets a second job begin
 * beside it.
 */
import type { Random } from "../../../chaos/random.ts";
import type { DrawnAct, DrawnJob } from "../drawing.ts";
import { drawWorker, redrawOptions } from "../options.ts";

const FORK_SHARE = 0.12;
const BACK_SHARE = 0.3;
const OLDER_SHARE = 0.06;
const AFTER_MS_MAX = 6000;

/** The input stays, and the graph is the same in all lives, so each life is judged by what it must put out in all. */
export function withLives(drawn: DrawnJob, random: Random): DrawnJob {
  const { sources, acts } = drawn;
  if (sources.some(({ retention }) => retention !== undefined)) return drawn;
  if (acts.some(({ becomes }) => becomes?.change !== undefined)) return drawn;
  const forks = random.next() < FORK_SHARE ? [drawFork(drawn, random)] : [];
  const at = random.between(0, acts.length);
  const goingBack = acts.map((act) => (random.next() < BACK_SHARE ? { ...act, ...backFrom(act) } : act));
  const lives = { ...drawn, acts: [...goingBack.slice(0, at), ...forks, ...goingBack.slice(at)] };
  return random.next() < OLDER_SHARE ? withOlder(lives, random) : lives;
}

/** The user cancels the job, which keeps several checkpoints, and takes the oldest one. */
function withOlder(drawn: DrawnJob, random: Random): DrawnJob {
  const { options, acts } = drawn;
  const { checkpointing } = options;
  if (checkpointing?.interval === "off") return drawn;
  const cancel: DrawnAct = {
    kind: "cancel",
    afterMs: 1500 + random.next() * AFTER_MS_MAX,
    pauseMs: 0,
    claims: false,
    goesBack: "to-oldest",
  };
  const kept = { retention: "retain-on-cancellation", retained: random.between(2, 4) } as const;
  return {
    ...drawn,
    acts: [...acts, cancel],
    options: { ...options, checkpointing: { ...checkpointing, ...kept } },
  };
}

function drawFork({ operators, options, worker }: DrawnJob, random: Random): DrawnAct {
  return {
    kind: "fork",
    afterMs: 300 + random.next() * AFTER_MS_MAX,
    pauseMs: random.next() ** 3 * AFTER_MS_MAX,
    claims: random.next() < 0.4,
    becomes: {
      name: "beside",
      operators,
      options: random.next() < 0.5 ? redrawOptions(random, options) : options,
      worker: random.next() < 0.5 ? drawWorker(random, worker.slots) : worker,
    },
  };
}

function backFrom({ kind, becomes }: DrawnAct): Pick<DrawnAct, "goesBack"> {
  if (kind === "cancel") return { goesBack: "to-oldest" };
  const mayBeginAnew = kind === "stop" || kind === "suspend" || kind === "cancel-with-savepoint";
  return mayBeginAnew && becomes === undefined ? { goesBack: "to-nothing" } : {};
}
