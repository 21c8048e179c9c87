/** Draws other parallelisms for the lives of a job: its state is dealt out anew where it is restored. */
import type { Random } from "../../../chaos/random.ts";
import type { DrawnAct, DrawnInput, DrawnJob, DrawnLife, DrawnOperator, DrawnSink } from "../drawing.ts";

const SHARE = 0.5;
/** Jobs that are rescaled while they run. */
const RUNNING_SHARE = 0.35;
const RESCALES_MAX = 3;
const RESCALE_AFTER_MS_MAX = 3000;
const DRAWN_MAX = 3;

/** The number of subtasks that stands for each drawn one; the others stay. */
export type Scale = Readonly<Record<number, number>>;

/**
 * What has as many subtasks as another operator has so in every life: what is chained stays so, and records that wait
 * on an edge find it again.
 */
export function withRescaling(drawn: DrawnJob, random: Random): DrawnJob {
  if (!drawn.acts.some(({ becomes }) => becomes !== undefined)) return drawn;
  const acts = drawn.acts.map((act) => {
    if (act.becomes === undefined || random.next() >= SHARE) return act;
    const scale = drawScale(drawn, act.becomes, random);
    return scale === undefined ? act : { ...act, becomes: { ...act.becomes, scale } };
  });
  const isRescaled = acts.some(({ becomes }) => becomes?.scale !== undefined);
  return isRescaled ? { ...drawn, acts, reordered: true } : drawn;
}

/**
 * The user rescales the job while it runs, now and then twice in a row; what has as many subtasks as another operator
 * has so afterwards, too.
 */
export function withRescales(drawn: DrawnJob, random: Random): DrawnJob {
  if (random.next() >= RUNNING_SHARE) return drawn;
  const lives = drawn.acts.flatMap(({ becomes }) => becomes ?? []);
  const life = {
    ...{ name: "drawn", options: drawn.options, worker: drawn.worker },
    operators: lives.flatMap(({ operators }) => operators),
    sinks: lives.flatMap(({ sinks }) => sinks ?? []),
  };
  const rescales = Array.from({ length: random.between(1, RESCALES_MAX) }, () => {
    const scale = drawScale(drawn, life, random);
    const afterMs = random.between(1, RESCALE_AFTER_MS_MAX);
    return scale === undefined || !changes(drawn, scale) ? [] : [rescaleTo(drawn, scale, afterMs)];
  }).flat();
  if (rescales.length === 0) return drawn;
  const at = random.between(0, drawn.acts.findIndex(({ becomes }) => becomes !== undefined) + 1);
  const acts = [...drawn.acts.slice(0, at), ...rescales, ...drawn.acts.slice(at)];
  return { ...drawn, acts, reordered: true };
}

const changes = ({ sources, operators, sinks }: DrawnJob, scale: Scale): boolean =>
  [...sources, ...operators, ...sinks].some(({ parallelism }) => scale[parallelism] !== undefined);

function rescaleTo(drawn: DrawnJob, scale: Scale, afterMs: number): DrawnAct {
  const { sources, operators, sinks } = scaled(drawn, scale);
  const all = [...sources, ...operators, ...sinks].map(({ id, parallelism }) => [id, parallelism] as const);
  const parallelism = Object.fromEntries(all);
  return { kind: "rescale", afterMs, pauseMs: 0, claims: false, parallelism };
}

/** The same job, and all of it in another number of subtasks. */
export function scaled(drawn: DrawnJob, scale: Scale = {}): DrawnJob {
  const other = <T extends { readonly parallelism: number }>(one: T): T => ({
    ...one,
    parallelism: scale[one.parallelism] ?? one.parallelism,
  });
  return {
    ...drawn,
    sources: drawn.sources.map(other),
    operators: drawn.operators.map(other),
    sinks: drawn.sinks.map(other),
  };
}

function drawScale(drawn: DrawnJob, life: DrawnLife, random: Random): Scale | undefined {
  const { operators, sinks, workers, worker } = drawn;
  const fixed = fixedIn([...operators, ...life.operators], [...sinks, ...(life.sinks ?? [])]);
  const max = Math.min(DRAWN_MAX + 1, workers * Math.min(worker.slots, life.worker.slots));
  const free = Array.from({ length: max }, (_, i) => i + 1).filter((one) => !fixed.has(one));
  const scale: Record<number, number> = {};
  for (let one = 1; one <= Math.min(DRAWN_MAX, max); one++) {
    if (fixed.has(one)) continue;
    const [chosen] = free.splice(random.between(0, free.length - 1), 1);
    if (chosen !== one) scale[one] = chosen!;
  }
  return Object.keys(scale).length === 0 ? undefined : scale;
}

/** The numbers of subtasks on which it depends what comes out, or whether the job is one at all. */
function fixedIn(operators: readonly DrawnOperator[], sinks: readonly DrawnSink[]): ReadonlySet<number> {
  const isBroadcast = (inputs: readonly DrawnInput[]) =>
    inputs.some(({ exchange }) => exchange === "broadcast");
  const fixed = new Set<number>();
  for (const { kind, ports, parallelism, ...one } of operators) {
    if (isBroadcast(ports.flat())) fixed.add(parallelism);
    if (kind === "rules") fixed.add(parallelism).add(1);
    if ("state" in one && one.state === "union") fixed.add(parallelism);
  }
  for (const { inputs, parallelism } of sinks) if (isBroadcast(inputs)) fixed.add(parallelism);
  return fixed;
}
