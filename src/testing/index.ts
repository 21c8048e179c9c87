/** What tests of jobs need: `import { createTestHarness } from "tidemark/testing"`. */
export type { HarnessSnapshot, TestHarness, TestHarnessOptions, TimedRecord } from "./harness.ts";
export { createTestHarness } from "./harness.ts";
export { prepareTransaction, sinkEnvironment } from "./sink-environment.ts";
export type { SinkCase, SinkSuiteOptions, SinkUnderTest } from "./sink-suite.ts";
export { sinkCases } from "./sink-suite.ts";
export type { StateBackendCase, StateBackendSuiteOptions } from "./state-suite.ts";
export { stateBackendCases } from "./state-suite.ts";
export type { StorageCase, StorageSuiteOptions, StorageUnderTest } from "./storage-suite.ts";
export { storageCases } from "./storage-suite.ts";
