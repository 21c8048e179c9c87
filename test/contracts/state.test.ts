import { HeapBackend } from "../../src/state/heap/backend.ts";
import { describeStateContract } from "./suites/state.contract.ts";

for (const keepsObjects of [false, true])
  describeStateContract(keepsObjects ? "heap, objects as they came" : "heap", (options) => {
    const backend = new HeapBackend({ ...options, keepsObjects });
    return { backend, close: () => backend.close() };
  });
