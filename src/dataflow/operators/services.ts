/** What the chain gives to an operator that it opens: keyed states for the key groups of the subtask, its writer. */
import { HeapBackend } from "../../state/heap/backend.ts";
import { keyGroupRangeOf } from "../../state/key-groups.ts";
import { KeyedState } from "../../state/keyed-state.ts";
import type { ChainServices } from "../chain.ts";
import type { Vertex } from "../graph.ts";
import type { OperatorDefinition, OperatorServices } from "./contract.ts";

export function servicesOf(
  { parallelism }: Vertex,
  { id, details }: OperatorDefinition,
  parts: Pick<OperatorServices, "time" | "former" | "processingTime" | "lateness">,
  services: ChainServices,
): OperatorServices {
  const { subtaskIndex, maxParallelism, checks = false } = services;
  return {
    id,
    checks,
    ...parts,
    keyedState: () =>
      new KeyedState((options) => new HeapBackend(options), {
        operator: id,
        descriptors: details.states ?? {},
        keyGroups: keyGroupRangeOf(subtaskIndex, parallelism, maxParallelism),
        maxParallelism,
        checks,
      }),
    writer: () => services.writer(id),
  };
}
