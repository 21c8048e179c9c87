/**
 * What the state of a modelled subtask consists of at each checkpoint: the twin of
 * src/runtime/worker/snapshots/state-layers.ts.
 *
 * How much has changed since is left open: a snapshot may rest on any of the layers below, from the first one on, and
 * adds one of its own or, if nothing has changed, none.
 */
import type { Choose, ProcessOutcome } from "../../machine-process.ts";
import { change } from "../memory.ts";
import type { Snapshot } from "../words.ts";
import type { WorkerMemory } from "./worker-host.ts";

/** The checkpoints whose objects a layer consists of. */
type Layer = readonly number[];

export interface StateLayers {
  /** By checkpoint, oldest first; of those that a barrier may still name. */
  readonly known: Readonly<Record<number, readonly Layer[]>>;
  /** By checkpoint: the one that its barrier names. */
  readonly bases: Readonly<Record<number, number | null>>;
}

export const noLayers: StateLayers = { known: {}, bases: {} };

/** All that was restored is one layer. */
export function restoredLayers(checkpointId: number, restored: Snapshot | null): StateLayers {
  return restored?.layers === undefined
    ? noLayers
    : { known: { [checkpointId]: [restored.layers] }, bases: {} };
}

export function noteBase(checkpointId: number, base: number | null): ProcessOutcome {
  return change<WorkerMemory>(({ layers: { known, bases } }) => ({
    layers: {
      known: Object.fromEntries(Object.entries(known).filter(([id]) => base === null || Number(id) >= base)),
      bases: { ...bases, [checkpointId]: base },
    },
  }));
}

/** @param restsOnLatest seeded bug: whatever checkpoint the barrier names */
export function layersOf(
  { known, bases }: StateLayers,
  checkpointId: number,
  choose: Choose,
  restsOnLatest = false,
): readonly Layer[] {
  const latest = Object.keys(known).map(Number).at(-1);
  const base = restsOnLatest ? latest : bases[checkpointId];
  const below = (base !== undefined && base !== null && known[base]) || [];
  const own = [checkpointId];
  if (below.length === 0) return [own];
  const choices = ["unchanged", ...[...below.keys(), below.length].map((count) => `on ${count}`)];
  const choice = choose(...choices);
  return choice === "unchanged" ? below : [...below.slice(0, choices.indexOf(choice) - 1), own];
}

export function keepLayers(checkpointId: number, taken: readonly Layer[]): ProcessOutcome {
  return change<WorkerMemory>(({ layers: { known, bases } }) => ({
    layers: { known: { ...known, [checkpointId]: taken }, bases },
  }));
}

export function forgetLayers(checkpointId: number): ProcessOutcome {
  return change<WorkerMemory>(({ layers: { known, bases } }) => {
    const { [checkpointId]: _, ...others } = known;
    return { layers: { known: others, bases } };
  });
}
