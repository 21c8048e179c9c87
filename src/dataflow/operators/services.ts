/** What the chain gives to an operator that it opens: keyed states for the key groups of the subtask, its writer. */
import { heapBackends } from "../../state/backends.ts";
import { keyGroupRangeOf } from "../../state/key-groups.ts";
import { KeyedState } from "../../state/keyed-state.ts";
import type { ChainServices } from "../chain.ts";
import type { Vertex } from "../graph.ts";
import type { OperatorDefinition, OperatorServices } from "./contract.ts";

const openHeap = heapBackends.of(0);

export function servicesOf(
  { parallelism }: Vertex,
  { id, details }: OperatorDefinition,
  parts: Pick<OperatorServices, "time" | "former" | "processingTime" | "lateness">,
  services: ChainServices,
): OperatorServices {
  const { subtaskIndex, maxParallelism } = services;
  const { checks = false, keepsChanges = false, openBackend = openHeap } = services;
  return {
    id,
    checks,
    ...parts,
    keyedState: () =>
      new KeyedState(openBackend, {
        operator: id,
        descriptors: details.states ?? {},
        keyGroups: keyGroupRangeOf(subtaskIndex, parallelism, maxParallelism),
        maxParallelism,
        keepsChanges,
        checks,
      }),
    writer: () => services.writer(id),
  };
}
