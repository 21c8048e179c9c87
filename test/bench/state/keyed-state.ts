/** The modules of keyed state in a copy of the project, as far as the bench uses them. */
import { existsSync } from "node:fs";
import type { StateDescriptor } from "../../../src/state/descriptor.ts";
import type { Total } from "../jobs/workload.ts";

export interface KeyedState {
  readonly handles: { readonly total: { get(): Total; set(total: Total): void } };
  setCurrentKey(key: string | number): void;
}

interface KeyedStateOptions {
  readonly operator: string;
  readonly descriptors: { readonly total: StateDescriptor };
  readonly keyGroups: { readonly first: number; readonly last: number };
  readonly maxParallelism: number;
}

export type OpenKeyedState = (options: KeyedStateOptions) => KeyedState;

/**
 * Below the folder of compiled modules. The first commits have one class for handles and rows, later ones a backend.
 */
const NOW = "src/state/heap/backend.js";
const FIRST = "src/state/heap.js";

/** @param dist URL of a copy's folder of compiled modules, with a slash at the end */
export function hasKeyedState(dist: URL): boolean {
  return [NOW, FIRST].some((place) => existsSync(new URL(place, dist)));
}

/** That of the copy that this file lies in. */
export async function importKeyedState(): Promise<OpenKeyedState> {
  const dist = new URL("../../../", import.meta.url);
  const load = (place: string) => import(new URL(place, dist).href);
  if (existsSync(new URL(NOW, dist))) {
    const { HeapBackend } = await load(NOW);
    const { KeyedState } = await load("src/state/keyed-state.js");
    return (options) => new KeyedState((backend: unknown) => new HeapBackend(backend), options);
  }
  const { HeapKeyedState } = await load(FIRST);
  return (options) => new HeapKeyedState(options);
}
