/** Waits for what a test expects to happen, with a bound and without fixed sleeps. */
import { setTimeout as sleep } from "node:timers/promises";

export interface UntilOptions {
  readonly withinMs: number;
  readonly everyMs?: number;
  /** Added to the message of the failure. */
  readonly describe?: () => string;
}

/** Asks again and again until the answer is not undefined. What the question throws counts as "not yet". */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  options: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + options.withinMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      if (error instanceof GiveUpError) throw error;
      last = error;
    }
    if (performance.now() > deadline) {
      const details = [options.describe?.(), last === undefined ? undefined : `last error: ${String(last)}`];
      const text = details.filter((detail) => detail !== undefined).join("; ");
      throw new Error(`${what}: not within ${options.withinMs} ms${text === "" ? "" : ` (${text})`}`, {
        cause: last,
      });
    }
    await sleep(options.everyMs ?? 50);
  }
}

/** Thrown by a question that can never be answered any more. */
export class GiveUpError extends Error {}
