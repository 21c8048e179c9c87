/** Where a copy of the project keeps its keyed state, as far as the bench uses it. */
import { existsSync } from "node:fs";
import type { StateDescriptor } from "../../../src/state/descriptor.ts";
import type { Total } from "../jobs/workload.ts";

export interface KeyedState {
  readonly handles: { readonly total: { get(): Total; set(total: Total): void } };
  setCurrentKey(key: string | number): void;
}

type KeyedStateClass = new (options: {
  readonly operator: string;
  readonly descriptors: { readonly total: StateDescriptor };
  readonly keyGroups: { readonly first: number; readonly last: number };
  readonly maxParallelism: number;
}) => KeyedState;

/** Below the folder of compiled modules, the newest first. Each exports a class `HeapKeyedState`. */
const PLACES = ["src/state/heap.js"];

/** @param dist URL of a copy's folder of compiled modules, with a slash at the end */
export function hasKeyedState(dist: URL): boolean {
  return PLACES.some((place) => existsSync(new URL(place, dist)));
}

/** The class of the copy that this file lies in. */
export async function importKeyedState(): Promise<KeyedStateClass> {
  const dist = new URL("../../../", import.meta.url);
  const place = PLACES.find((candidate) => existsSync(new URL(candidate, dist)));
  if (place === undefined) throw new Error(`no keyed state at ${PLACES.join(", ")}`);
  const module = (await import(new URL(place, dist).href)) as { readonly HeapKeyedState: KeyedStateClass };
  return module.HeapKeyedState;
}
