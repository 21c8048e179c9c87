/** What the current key holds in a state, read beside the functions that use it: nothing expires by it. */
import { ABSENT } from "../contract.ts";
import type { ListState } from "../descriptor.ts";
import type { OpenState } from "./kinds.ts";

export interface LiveValue {
  /** The key of an entry of a map. */
  readonly entry?: string | number;
  readonly value: unknown;
}

/** Its rows are pieces of lists (LH1). */
export const isInPieces = ({ kind, expiring }: OpenState): boolean =>
  kind === "list" && expiring === undefined;

/** None: the key holds nothing. Of a list the one value is all of it. */
export function valuesOf(state: OpenState): LiveValue[] {
  const { kind, table, handle } = state;
  if (isInPieces(state)) {
    const list = handle as unknown as ListState<unknown>;
    return list.isEmpty ? [] : [{ value: list.get() }];
  }
  if (kind !== "map" && kind !== "list") {
    const value = table.read();
    return value === ABSENT ? [] : [{ value }];
  }
  const rows = table.namespaces().map((namespace) => {
    table.setCurrentNamespace(namespace);
    return { entry: namespace as string | number, value: table.read() };
  });
  table.setCurrentNamespace(undefined);
  if (kind === "map") return rows;
  return rows.length === 0 ? [] : [{ value: rows.map(({ value }) => value) }];
}
