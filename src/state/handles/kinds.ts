/**
 * The table of kinds: every kind of keyed state that a user can declare.
 *
 * A new kind is a file in this folder, a row here, and its descriptor and handle in descriptor.ts.
 */
import type { KeyedBackend, StateTable } from "../contract.ts";
import type { StateDescriptor, UserStateDescriptor } from "../descriptor.ts";
import { aggregatingKind, reducingKind } from "./aggregating.ts";
import type { StateHandle, StateKind } from "./kind.ts";
import { listKind } from "./list.ts";
import { mapKind } from "./map.ts";
import { valueKind } from "./value.ts";

export const stateKinds: {
  readonly [K in UserStateDescriptor["kind"]]: StateKind<Extract<UserStateDescriptor, { readonly kind: K }>>;
} = {
  value: valueKind,
  list: listKind,
  map: mapKind,
  reducing: reducingKind,
  aggregating: aggregatingKind,
};

/** A state of one operator in one subtask. */
export interface OpenState {
  readonly name: string;
  readonly table: StateTable;
  /** undefined: the table itself is all that there is. */
  readonly handle: StateHandle | undefined;
}

export function openState(
  backend: KeyedBackend,
  name: string,
  descriptor: StateDescriptor,
  checks: boolean,
): OpenState {
  if (descriptor.kind === "table")
    return { name, table: backend.openTable(name, descriptor), handle: undefined };
  const kind: StateKind<never> = stateKinds[descriptor.kind];
  const table = backend.openTable(name, kind.tableOptions);
  return { name, table, handle: kind.open(table, descriptor as never, checks) };
}
