/**
 * The faults of processes: crashes, pauses, lost connections, steps of the clock, a stranger's orders. Those of
 * messages and calls are the network's.
 */
import { CALM, drawWeather, FAULT_KINDS, type FaultKind } from "./weather.ts";
import type { Member, Role, SimulatedWorld } from "./world.ts";

const LASTS_MS_MIN = 100;
const LASTS_MS_MAX = 15_000;
const CLOCK_STEP_MS_MAX = 60_000;
const RESTART_MS_MAX = 3000;

export class Storm {
  faults = 0;
  crashes = 0;
  readonly #world: SimulatedWorld;
  readonly #driver;
  #over = false;

  constructor(world: SimulatedWorld) {
    this.#world = world;
    this.#driver = world.scheduler.process("storm");
  }

  begin(): void {
    const world = this.#world;
    const weather = drawWeather(world.scheduler.decisions.stream("weather"));
    world.network.weather = weather;
    world.tell(`the weather: ${JSON.stringify(weather)}`);
    for (const kind of FAULT_KINDS) this.#await(kind, 1, weather.everyMs[kind]);
  }

  end(): void {
    this.#over = true;
    this.#world.network.weather = CALM;
    this.#world.tell("the faults have stopped");
  }

  /** When the n-th fault of a kind comes, and what it is, does not depend on any other. */
  #await(kind: FaultKind, nth: number, everyMs: number): void {
    if (everyMs === Number.POSITIVE_INFINITY) return;
    const name = `${kind} ${nth}`;
    const random = this.#world.scheduler.decisions.stream(name);
    const strike = { which: random.next(), amount: random.next() };
    void this.#driver.passes(-Math.log(1 - random.next()) * everyMs, name).then(() => {
      if (this.#over) return;
      const { decisions, nowMs } = this.#world.scheduler;
      if (decisions.happens(name, nowMs)) this.#strike(kind, strike);
      this.#await(kind, nth + 1, everyMs);
    });
  }

  #strike(kind: FaultKind, { which, amount }: { readonly which: number; readonly amount: number }): void {
    const member = this.#choose(kind, which);
    if (member === undefined) return;
    this.faults++;
    const world = this.#world;
    const [act] = kind.split("-");
    const ms = LASTS_MS_MIN + amount ** 2 * (LASTS_MS_MAX - LASTS_MS_MIN);
    if (act === "crash") {
      this.crashes++;
      world.crash(member, amount * RESTART_MS_MAX);
    } else if (act === "pause") world.pause(member, ms);
    else if (act === "cut") world.cut(member, ms);
    else if (act === "forge") world.forge(member);
    else world.stepClock(member, (amount * 2 - 1) * CLOCK_STEP_MS_MAX);
  }

  #choose(kind: FaultKind, which: number): Member | undefined {
    const world = this.#world;
    const [, role] = kind.split("-") as [string, Role];
    const members =
      kind === "step-clock"
        ? [...world.members("worker"), ...world.members("coordinator")]
        : world.members(role);
    return members[Math.floor(which * members.length)];
  }
}
