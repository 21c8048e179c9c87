import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/suite/longest-first.ts";
import { WAIT_BOUND_MS } from "./test/support/suite/patience.ts";

const HOUR_MS = 3_600_000;
const WORKERS_MAX = 16;

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A test that hangs is ended by the runner, long before; hooks hang less often.
    testTimeout: HOUR_MS,
    hookTimeout: HOUR_MS / 4,
    teardownTimeout: HOUR_MS / 4,
    globalSetup: "./test/support/servers/bundle.ts",
    runner: "./test/support/suite/patient-runner.ts",
    expect: { poll: { timeout: WAIT_BOUND_MS, interval: 20 } },
    pool: "forks",
    // Most of the time most tests wait: for other processes, and for an interval to pass.
    maxWorkers: Math.min(2 * availableParallelism(), WORKERS_MAX),
    sequence: { sequencer: LongestFirst },
  },
});
