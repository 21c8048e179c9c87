/**
 * One run on one seed: a job is submitted to a cluster, faults come and stop, the job must end with the right output.
 *
 * Here C7 means: once the faults have stopped, the job finishes within a bound of virtual time.
 */
import type { JobRecord } from "../../machines/protocol.ts";
import { describeError } from "../../src/errors.ts";
import { findLeftovers } from "./checks/leftovers.ts";
import { type Decision, Decisions, type Edit } from "./decisions.ts";
import { coverageOf } from "./jobs/coverage.ts";
import type { DrawnJob } from "./jobs/drawing.ts";
import { withChange } from "./jobs/lives/changed-graph.ts";
import { withLives } from "./jobs/lives/lives.ts";
import { withRescales, withRescaling } from "./jobs/lives/rescaling.ts";
import { withFurtherKinds } from "./jobs/operators/further-kinds.ts";
import { withIdleRules } from "./jobs/operators/idle-rules.ts";
import { withMoreKinds } from "./jobs/operators/more-kinds.ts";
import { drawJob } from "./jobs/random-graph.ts";
import { withRetention } from "./jobs/retention.ts";
import type { SimulatedJob } from "./jobs/simulated-job.ts";
import { smallerJob } from "./jobs/smaller-job.ts";
import { withAddedTime } from "./jobs/time/added-time.ts";
import { withEventTime } from "./jobs/time/event-time.ts";
import { withTimeKinds } from "./jobs/time/time-kinds.ts";
import { Scheduler } from "./scheduler.ts";
import { Storm } from "./storm.ts";
import type { StoryLine } from "./story.ts";
import { SimulatedWorld } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  /** What was wrong, in words; nothing: the run was right. */
  readonly findings: readonly string[];
  readonly traceHash: string;
  readonly steps: number;
  readonly virtualMs: number;
  readonly faults: number;
  readonly crashes: number;
  readonly checkpoints: number;
  readonly recoveries: number;
  /** Checkpoints and savepoints whose stored state was compared with the oracle's. */
  readonly statesCompared: number;
  /** Operators, edges, options and acts of the user, in words. */
  readonly covered: readonly string[];
  /** The faults and the steps of the machines, in order. */
  readonly story: readonly StoryLine[];
  /** What a replay may leave out of the job. */
  readonly operators: readonly string[];
  readonly workers: number;
  /** Every fault, and what the user did: what a replay may leave out. */
  readonly taken: readonly Decision[];
}

const STORM_MS_MAX = 30_000;
const CALM_MS_MAX = 600_000;
const LOOK_EVERY_MS = 200;
const FINDINGS_MAX = 10;
/** Nobody resumes it: it keeps its checkpoints, and nothing else. */
const DELETES_ALL: readonly JobRecord["status"][] = ["finished", "stopped", "canceled"];

/** @param edit what of the run is left; default: all that the seed decides */
export async function simulate(seed: number, edit: Edit = {}): Promise<Outcome> {
  const decisions = new Decisions(seed, edit);
  const scheduler = new Scheduler(decisions);
  const drawn = drawnOn(decisions);
  const world = new SimulatedWorld(scheduler, smallerJob(drawn, edit));
  const random = decisions.stream("cluster");
  const storm = new Storm(world);
  const escaped = (error: unknown) => void world.wrong.push(`not caught: ${describeError(error)}`);
  process.on("unhandledRejection", escaped);
  try {
    world.begin();
    const over = whenEnded(world);
    const stormMs = 5000 + random.next() * STORM_MS_MAX;
    storm.begin();
    await scheduler.run(over, stormMs);
    storm.end();
    const ended = await scheduler.run(over, CALM_MS_MAX);
    const done = world.jobs.flatMap(({ user }) => user.done);
    const generations = world.jobs.map(({ record }) => record?.generation ?? 1);
    const findings = [
      ...(ended ? [] : world.jobs.flatMap(unended)),
      ...world.verdict(),
      ...(ended ? await leftovers(world) : []),
      ...(ended ? world.keptSavepoints.leftOf(world.savepoints.names()) : []),
      ...world.invariants.ended(ended),
      ...world.heldSources.findings,
      ...world.keptSavepoints.findings,
      ...world.storedState.findings,
    ];
    return {
      seed,
      findings: findings.slice(0, FINDINGS_MAX),
      traceHash: scheduler.traceHash(),
      steps: scheduler.steps,
      virtualMs: scheduler.nowMs,
      faults: storm.faults + world.network.faults,
      crashes: storm.crashes,
      checkpoints: world.checkpoints,
      recoveries: generations.reduce((sum, generation) => sum + generation - 1, 0),
      statesCompared: world.storedState.compared,
      covered: [
        ...coverageOf(world.drawn, done),
        ...world.lostInput.covered,
        ...world.storedState.covered,
        ...(world.network.copiesRead > 0 ? ["state from a local copy"] : []),
      ],
      story: world.story,
      operators: world.drawn.operators.map(({ id }) => id),
      workers: world.drawn.workers,
      taken: decisions.taken,
    };
  } finally {
    process.off("unhandledRejection", escaped);
  }
}

/** Whether the job of a seed has what `coverageOf` calls so. */
export function draws(seed: number, what: string): boolean {
  return coverageOf(drawnOn(new Decisions(seed, {})), []).includes(what);
}

function drawnOn(decisions: Decisions): DrawnJob {
  const job = withRetention(drawJob(decisions.stream("job")), decisions.stream("retention"));
  const changed = withChange(job, decisions.stream("change"));
  const timed = withEventTime(changed, decisions.stream("time"));
  const further = withFurtherKinds(timed, decisions.stream("kinds"));
  const later = withTimeKinds(further, decisions.stream("timers"));
  const more = withMoreKinds(later, decisions.stream("more kinds"));
  const added = withAddedTime(more, decisions.stream("added time"));
  const all = withLives(withIdleRules(added, decisions.stream("idle rules")), decisions.stream("lives"));
  const rescaled = withRescaling(all, decisions.stream("rescaling"));
  return withRescales(rescaled, decisions.stream("rescales in mid-run"));
}

/** What keeps a job from its end. */
function unended(job: SimulatedJob): string[] {
  if (job.user.ending !== undefined) return [];
  const status = job.record?.status ?? "not submitted";
  const why = job.whyFailed();
  return [
    `job ${job.life.name} is still ${status} ${CALM_MS_MAX / 1000} s after the faults have stopped: ${why}`,
  ];
}

async function leftovers(world: SimulatedWorld): Promise<string[]> {
  const { scheduler, storage, invariants, hosts } = world;
  const isOver = invariants.haveAll(DELETES_ALL);
  return await findLeftovers({
    scheduler,
    storage: isOver ? storage : undefined,
    invariants,
    hosts,
    stoppable: () => world.members(),
    collect: () => world.job.user.collect(invariants.jobs()),
  });
}

/** Looks at the job's record again and again. */
function whenEnded(world: SimulatedWorld): () => boolean {
  const observer = world.scheduler.process("observer");
  const look = (): void => {
    void world.look();
    observer.after(LOOK_EVERY_MS, look);
  };
  look();
  return () => {
    const isOver = world.isOver();
    if (isOver) observer.dead = true;
    return isOver;
  };
}
