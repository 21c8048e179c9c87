/** Waits for what a test expects to happen, for as long as it takes (`patience.ts`) and without fixed sleeps. */
import { setTimeout as sleep } from "node:timers/promises";
import { Patience } from "./suite/patience.ts";

const LOOK_EVERY_MS = 1000;

export interface UntilOptions {
  /** Between two looks. Default 20. */
  readonly everyMs?: number;
  /** What there is to see meanwhile: its change is progress, and the message of a failure ends with it. */
  readonly describe?: () => string;
}

/**
 * Asks again and again until the answer is neither undefined nor false. What the question throws counts as "not yet".
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  options: UntilOptions = {},
): Promise<T> {
  const patience = new Patience();
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      if (error instanceof GiveUpError) throw error;
      last = error;
    }
    const seen = options.describe?.();
    const reason = patience.isOver(seen);
    if (reason !== undefined) {
      const details = [seen, last === undefined ? undefined : `last error: ${String(last)}`];
      const text = details.filter((detail) => detail !== undefined).join("; ");
      throw new Error(`${what}: ${reason}${text === "" ? "" : ` (${text})`}`, { cause: last });
    }
    await sleep(options.everyMs ?? 20);
  }
}

/** What a hook waits for, under a name: one that hangs says where, and does not stand still until the suite ends. */
export async function inTime<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    const patience = new Patience();
    timer = setInterval(() => {
      const reason = patience.isOver(undefined);
      if (reason !== undefined) reject(new Error(`${what}: ${reason}`));
    }, LOOK_EVERY_MS);
  });
  try {
    return await Promise.race([work, tooLong]);
  } finally {
    clearInterval(timer);
  }
}

/** Until what it asserts holds: `await eventually(() => expect(received).toHaveLength(3))`. */
export async function eventually(assert: () => unknown): Promise<void> {
  await until("what is asserted", async () => {
    await assert();
    return true;
  });
}

/** Thrown by a question that can never be answered any more. */
export class GiveUpError extends Error {}
