import { defineConfig } from "vitest/config";
import { TEST_BOUND_MS, WAIT_BOUND_MS } from "./test/support/patience.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: TEST_BOUND_MS,
    hookTimeout: TEST_BOUND_MS,
    teardownTimeout: TEST_BOUND_MS,
    expect: { poll: { timeout: WAIT_BOUND_MS, interval: 20 } },
    pool: "forks",
    maxWorkers: 2,
  },
});
