import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/suite/longest-first.ts";
import { WAIT_BOUND_MS } from "./test/support/suite/patience.ts";
import { quickTests } from "./test/support/suite/quick-tests.ts";

const quick = quickTests();
const HOUR_MS = 3_600_000;
const WORKERS_MAX = 16;

export default defineConfig({
  // The examples import the package by its name, as users do. In a test that is the copy that the test imports.
  resolve: { alias: { tidemark: fileURLToPath(new URL("src/index.ts", import.meta.url)) } },
  test: {
    // A test that hangs is ended by the runner, long before; hooks hang less often.
    testTimeout: HOUR_MS,
    hookTimeout: HOUR_MS / 4,
    teardownTimeout: HOUR_MS / 4,
    runner: "./test/support/suite/patient-runner.ts",
    expect: { poll: { timeout: WAIT_BOUND_MS, interval: 20 } },
    pool: "forks",
    // Most of the time most tests wait: for other processes, and for an interval to pass.
    maxWorkers: Math.min(2 * availableParallelism(), WORKERS_MAX),
    sequence: { sequencer: LongestFirst },
    projects: [
      // They hold nothing open and share modules that do not change: loading those again for each file would take
      // as long as its tests.
      { extends: true, test: { name: "quick", include: quick, isolate: false } },
      {
        extends: true,
        test: {
          name: "slow",
          include: ["test/**/*.test.ts"],
          exclude: quick,
          globalSetup: "./test/support/servers/bundle.ts",
        },
      },
    ],
  },
});
