/** What tests of jobs need: `import { createTestHarness } from "tidemark/testing"`. */
export type { HarnessSnapshot, TestHarness, TestHarnessOptions, TimedRecord } from "./harness.ts";
export { createTestHarness } from "./harness.ts";
