/** The service that a drawn job asks, in virtual time: slow at times, and it fails now and then. */
import type { Random } from "../../../chaos/random.ts";
import type { VirtualProcess } from "../../scheduler.ts";

const FAILS_SHARE = 0.1;
/** An answer that the job does not wait for. */
const HANGS_SHARE = 0.002;
const HANGS_MS = 20_000;
const TAKES_MS_MAX = 600;

export class Service {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Rejects, or resolves once it has answered. @param process the one that asks; it waits */
  async call(process: VirtualProcess): Promise<void> {
    const takesMs = this.#random.next() ** 3 * TAKES_MS_MAX;
    const hangs = this.#random.next() < HANGS_SHARE;
    const fails = this.#random.next() < FAILS_SHARE;
    await process.passes(hangs ? HANGS_MS : takesMs, "the service answers");
    if (fails) throw new Error("the service is busy");
  }
}
