/**
 * One run on one seed: a job is submitted to a cluster, faults come and stop, the job must end with the right output.
 *
 * Here C7 means: once the faults have stopped, the job finishes within a bound of virtual time.
 */
import { describeError } from "../../src/errors.ts";
import { randomFrom } from "../chaos/random.ts";
import { drawJob } from "./jobs/random-graph.ts";
import { Scheduler } from "./scheduler.ts";
import { CALM, drawWeather, FAULT_KINDS, type FaultKind } from "./weather.ts";
import { type Role, SimulatedWorld } from "./world.ts";

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
  /** The faults and the steps of the machines, in order. */
  readonly story: readonly string[];
}

const STORM_MS_MAX = 40_000;
const CALM_MS_MAX = 600_000;
const LOOK_EVERY_MS = 200;
const ENDED = ["finished", "failed", "canceled", "suspended", "stopped"];
const FINDINGS_MAX = 10;

export async function simulate(seed: number): Promise<Outcome> {
  const random = randomFrom(seed);
  const scheduler = new Scheduler(random);
  const world = new SimulatedWorld(scheduler, drawJob(random));
  const counts = { faults: 0, crashes: 0 };
  const escaped = (error: unknown) => void world.wrong.push(`nobody caught: ${describeError(error)}`);
  process.on("unhandledRejection", escaped);
  try {
    for (let i = 0; i < world.drawn.coordinators; i++) world.start("coordinator");
    for (let i = 0; i < world.drawn.workers; i++) world.start("worker");
    world.submit();
    const over = whenEnded(world);
    const stormMs = 5000 + random.next() * STORM_MS_MAX;
    const storm = new Storm(world, counts);
    storm.begin();
    await scheduler.run(over, stormMs);
    storm.end();
    const ended = await scheduler.run(over, CALM_MS_MAX);
    const { status, generation } = world.record ?? { status: "not submitted", generation: 1 };
    const findings = ended
      ? [
          ...(status === "finished" ? [] : [`the job ended as ${status}: ${world.whyFailed()}`]),
          ...world.verdict(),
        ]
      : [`the job is still ${status} ${CALM_MS_MAX / 1000} s after the faults have stopped`, ...world.wrong];
    return {
      seed,
      findings: findings.slice(0, FINDINGS_MAX),
      traceHash: scheduler.traceHash(),
      steps: scheduler.steps,
      virtualMs: scheduler.nowMs,
      faults: counts.faults + world.network.faults,
      crashes: counts.crashes,
      checkpoints: world.checkpoints,
      recoveries: Math.max(0, generation - 1),
      story: world.story,
    };
  } finally {
    process.off("unhandledRejection", escaped);
  }
}

/** Looks at the job's record again and again. */
function whenEnded(world: SimulatedWorld): () => boolean {
  const observer = world.scheduler.process("observer");
  const look = (): void => {
    void world.look();
    observer.after(LOOK_EVERY_MS, look);
  };
  look();
  return () => world.record !== undefined && ENDED.includes(world.record.status);
}

/** The faults of processes. Those of messages and calls are the network's. */
class Storm {
  readonly #world: SimulatedWorld;
  readonly #counts: { faults: number; crashes: number };
  readonly #driver;
  #over = false;

  constructor(world: SimulatedWorld, counts: { faults: number; crashes: number }) {
    this.#world = world;
    this.#counts = counts;
    this.#driver = world.scheduler.process("storm");
  }

  begin(): void {
    const { random } = this.#world.scheduler;
    const weather = drawWeather(random);
    this.#world.network.weather = weather;
    this.#world.tell(`the weather: ${JSON.stringify(weather)}`);
    for (const kind of FAULT_KINDS) this.#await(kind, weather.everyMs[kind]);
  }

  end(): void {
    this.#over = true;
    this.#world.network.weather = CALM;
    this.#world.tell("the faults have stopped");
  }

  #await(kind: FaultKind, everyMs: number): void {
    const { random } = this.#world.scheduler;
    this.#driver.after(-Math.log(1 - random.next()) * everyMs, () => {
      if (this.#over) return;
      this.#strike(kind);
      this.#await(kind, everyMs);
    });
  }

  #strike(kind: FaultKind): void {
    const world = this.#world;
    const { random } = world.scheduler;
    const [act, role] = kind.split("-") as [string, Role];
    const members =
      kind === "step-clock"
        ? [...world.members("worker"), ...world.members("coordinator")]
        : world.members(role);
    if (members.length === 0) return;
    const member = random.pick(members);
    this.#counts.faults++;
    const ms = 100 + random.next() ** 2 * 15_000;
    if (act === "crash") {
      this.#counts.crashes++;
      world.crash(member);
    } else if (act === "pause") world.pause(member, ms);
    else if (act === "cut") world.cut(member, ms);
    else world.stepClock(member, (random.next() * 2 - 1) * 60_000);
  }
}
