import { HeapBackend } from "../../src/state/heap/backend.ts";
import type { OpenBackendUnderTest } from "./suites/state/backend.ts";
import { describeHandlesContract } from "./suites/state/handles.contract.ts";
import { describeListingContract } from "./suites/state/listing.contract.ts";
import { describeStateContract } from "./suites/state/state.contract.ts";
import { describeTtlContract } from "./suites/state/ttl.contract.ts";

for (const keepsObjects of [false, true]) {
  const name = keepsObjects ? "heap, objects as they came" : "heap";
  const open: OpenBackendUnderTest = (options) => {
    const backend = new HeapBackend({ ...options, keepsObjects });
    return { backend, close: () => backend.close() };
  };
  describeStateContract(name, open);
  describeListingContract(name, open);
}

const openHeap: OpenBackendUnderTest = (options) => {
  const backend = new HeapBackend(options);
  return { backend, close: () => backend.close() };
};
describeHandlesContract("heap", openHeap);
describeTtlContract("heap", openHeap);
