/**
 * The table of kinds: every kind of keyed state that a user can declare.
 *
 * A new kind is a file in this folder, a row here, and its descriptor and handle in descriptor.ts.
 */
import type { KeyedBackend, Namespace, StateTable } from "../contract.ts";
import type { StateDescriptor, UserStateDescriptor } from "../descriptor.ts";
import type { KeyGroupRange } from "../key-groups.ts";
import { ExpiringRows } from "../ttl/expiring-rows.ts";
import { timesTableOf } from "../ttl/time-to-live.ts";
import type { MigratedState } from "../versions/row-migrations.ts";
import { aggregatingKind, reducingKind } from "./aggregating.ts";
import type { ExpiredRow, StateHandle, StateKind } from "./kind.ts";
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
  readonly kind: StateDescriptor["kind"];
  readonly table: StateTable;
  /** undefined: the table itself is all that there is. */
  readonly handle: StateHandle | undefined;
  /** undefined: its values have no time to live. */
  readonly expiring?: ExpiringState;
  /** Set where the user has named one. */
  readonly version?: string;
  readonly migrated?: MigratedState;
}

/** A state whose values have a time to live. */
export interface ExpiringState {
  readonly name: string;
  readonly rows: ExpiringRows;
  /** The table of their times. */
  readonly timesTable: string;
  /** What the user is told of a row that has expired. */
  expired(namespace: Namespace, value: unknown): ExpiredRow;
}

/** What opens a state. */
export interface StateSurroundings {
  readonly backend: KeyedBackend;
  readonly keyGroups: KeyGroupRange;
  readonly checks: boolean;
}

export function openState(
  name: string,
  descriptor: StateDescriptor,
  { backend, keyGroups, checks }: StateSurroundings,
): OpenState {
  if (descriptor.kind === "table")
    return { name, kind: "table", table: backend.openTable(name, descriptor), handle: undefined };
  const kind: StateKind<never> = stateKinds[descriptor.kind];
  const { ttl } = descriptor;
  const isAppended = ttl !== undefined && kind.openAppending !== undefined;
  const tableOptions = isAppended ? { listsNamespaces: true } : kind.tableOptions;
  const table = backend.openTable(name, tableOptions);
  const { version, migrate } = descriptor;
  const row = (isAppended ? undefined : kind.migrateRow) ?? ((value, _, one) => one(value));
  const named = {
    ...{ name, kind: descriptor.kind, table },
    ...(version !== undefined && { version }),
    ...(migrate !== undefined && { migrated: { name, table, migrate, row } }),
  };
  if (ttl === undefined) return { ...named, handle: kind.open(table, descriptor as never, checks) };
  const timesTable = timesTableOf(name, ttl);
  const times = backend.openTable(timesTable);
  const { listsNamespaces } = tableOptions ?? {};
  const given = { name, ttl, values: table, times, backend, keyGroups, isAppended, listsNamespaces };
  const rows = new ExpiringRows(given);
  return {
    ...named,
    handle: kind.openAppending?.(rows, checks) ?? kind.open(rows, descriptor as never, checks),
    expiring: {
      name,
      rows,
      timesTable,
      expired: (namespace, value) => kind.expired?.(descriptor as never, namespace, value) ?? { value },
    },
  };
}
