/** A user who gives the job other numbers of subtasks again and again while it is disturbed; drawn from the seed. */
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../../../src/cli/assembly.ts";
import type { ControlClient } from "../../../src/control/client.ts";
import { describeError } from "../../../src/errors.ts";
import type { Random } from "../random.ts";

interface RescalerOptions {
  readonly client: Pick<ControlClient, "rescale">;
  readonly job: string;
  /** It draws one of these each time. */
  readonly parallelisms: readonly number[];
  readonly random: Random;
  readonly tell: (line: string) => void;
}

export class Rescaler {
  /** After which the job has run with the numbers that were asked for. */
  rescales = 0;
  readonly #options: RescalerOptions;

  constructor(options: RescalerOptions) {
    this.#options = options;
  }

  /** Until `signal` aborts. What is under way then goes on without it. */
  async run(signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    const aborted = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    while (!signal.aborted) {
      await sleep(random.between(200, 4000), undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await Promise.race([this.#rescale(), aborted]);
    }
  }

  /** It may be refused: the job is being restored, has these numbers already, or a worker is away. */
  async #rescale(): Promise<void> {
    const { client, job, parallelisms, random, tell } = this.#options;
    const parallelism = random.pick(parallelisms);
    tell(`rescale to ${parallelism}`);
    try {
      await client.rescale({ job, request: newId(), parallelism, operators: {} });
      this.rescales++;
      tell(`rescaled to ${parallelism}`);
    } catch (error) {
      tell(`not rescaled to ${parallelism}: ${describeError(error)}`);
    }
  }
}
