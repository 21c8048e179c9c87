import type { StateTable, TableOptions } from "../../src/state/contract.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { describeApartContract } from "./suites/state/apart.contract.ts";
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

/** Namespaces lie apart in all tables that list none. */
class ApartBackend extends HeapBackend {
  override openTable(name: string, options?: TableOptions): StateTable {
    return super.openTable(name, { namespacesApart: options?.listsNamespaces !== true, ...options });
  }
}

const openApart: OpenBackendUnderTest = (options) => {
  const backend = new ApartBackend(options);
  return { backend, close: () => backend.close() };
};
describeStateContract("heap, namespaces apart", openApart);
describeListingContract("heap, namespaces apart", openApart);

const openHeap: OpenBackendUnderTest = (options) => {
  const backend = new HeapBackend(options);
  return { backend, close: () => backend.close() };
};
describeHandlesContract("heap", openHeap);
describeApartContract("heap", openHeap);
describeTtlContract("heap", openHeap);
