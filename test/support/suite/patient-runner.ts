/**
 * Runs each test of vitest, and ends one that hangs: not after so many seconds, but by what the machine had to spare
 * (`patience.ts`).
 */
import { type RunnerTestCase, TestRunner } from "vitest";
import { SpareClock, TEST_BOUND_MS } from "./patience.ts";

const LOOK_EVERY_MS = 1000;
/** The real timer, whatever timers a test fakes. */
const every = setInterval;

export default class PatientRunner extends TestRunner {
  async runTask(test: RunnerTestCase): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const hangs = new Promise<never>((_, reject) => {
      const clock = new SpareClock();
      timer = every(() => {
        if (clock.look() < TEST_BOUND_MS) return;
        reject(
          new Error(
            `it hangs: not over after ${TEST_BOUND_MS / 1000} s in which the machine had time to spare`,
          ),
        );
      }, LOOK_EVERY_MS);
    });
    try {
      await Promise.race([TestRunner.getTestFn(test)(), hangs]);
    } finally {
      clearInterval(timer);
    }
  }
}
