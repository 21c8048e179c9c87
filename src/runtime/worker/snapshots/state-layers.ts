/**
 * Which pieces the keyed states of one subtask consist of at each checkpoint, and which of them the next one can have
 * in common with a completed one (P81).
 *
 * Owns: which cut a new snapshot gives the changes since, and which pieces stay. Does not own: the changes
 * (state/heap/removals.ts), which checkpoint is completed (the leader's, in the options of the barrier), when an object
 * may go (leader/checkpoints/object-reaper.ts).
 *
 * A state at a checkpoint is layers, oldest first. The first one holds all rows, each other one what had changed since
 * the layers below it, so a restore reads them in this order.
 *
 * - YS1 A new snapshot rests on the layers of the checkpoint that its barrier names, and on no other ones: that one is
 *   complete, and stays while this one is pending.
 * - YS2 Those above the first one hold no more bytes than it, as far as the last one tells how large the next one will
 *   be: else a snapshot of all rows takes the place of all. So a restore reads about twice what there is, which costs
 *   about one more write of each row.
 * - YS3 So many layers that are as large as each other become one: the next snapshot gives the changes since the cut
 *   below them. So there are few layers, their number grows with the logarithm of the changes, and none is read to be
 *   merged.
 * - YS4 A state that can travel in the manifest is written whole each time. Of a larger one, all pieces that travel
 *   there are together no larger than one such piece may be.
 */
import type {
  KeyedStateHandle,
  KeyGroupRange,
  StateHandle,
  StatePiece,
} from "../../../../machines/protocol.ts";
import type { Chain, StateAddress, StateCut, VersionedState } from "../../../dataflow/chain.ts";
import { RESTORED_CUT } from "../../../state/contract.ts";
import { SERIALIZER_IN_WORDS } from "../../../state/snapshot/chunk.ts";
import { FIRST_VERSION } from "../../../state/versions/state-version.ts";

/** So many layers of one level become one of the next level (YS3). */
const LAYERS_MERGED = 8;

interface Layer {
  /** The number of the cut up to which it holds the changes. */
  readonly cut: number;
  readonly level: number;
  readonly pieces: readonly StatePiece[];
}

interface LayeredState {
  readonly cut: number;
  /** That of its values. Those of another one are migrated when they are restored, and then written whole. */
  readonly version: string;
  readonly layers: readonly Layer[];
}

/** What a new snapshot of a state rests on. */
export interface StateBase {
  /** The changes since this cut are asked for. */
  readonly cut: number;
  /** The layers below them. */
  readonly below: readonly Layer[];
  /** The new layer's. */
  readonly level: number;
}

export interface BasedCut extends StateCut {
  /** undefined: its cursor gives all rows. */
  readonly base: StateBase | undefined;
}

export interface SnapshotOfState extends Omit<BasedCut, "cursor"> {
  /** They hold all rows, or what has changed. */
  readonly pieces: readonly StatePiece[];
}

export class StateLayers {
  readonly #inlineBytesMax: number;
  /** The states at each checkpoint that a barrier may still name. */
  readonly #checkpoints = new Map<number, ReadonlyMap<string, LayeredState>>();

  constructor(inlineBytesMax: number) {
    this.#inlineBytesMax = inlineBytesMax;
  }

  /** What the subtask was restored from: a state that one subtask wrote, for the same key groups. */
  restored(checkpointId: number, handles: readonly StateHandle[], keyGroups: KeyGroupRange): void {
    const keyed = handles.filter((handle): handle is KeyedStateHandle => handle.kind === "keyed");
    const states = new Map<string, LayeredState>();
    for (const handle of keyed) {
      const name = nameOf(handle);
      const isAlone = keyed.filter((other) => nameOf(other) === name).length === 1;
      const { first, last } = handle.keyGroups;
      if (!isAlone || first !== keyGroups.first || last !== keyGroups.last) continue;
      const layer = { cut: RESTORED_CUT, level: 0, pieces: handle.pieces };
      states.set(name, { cut: RESTORED_CUT, version: handle.version ?? FIRST_VERSION, layers: [layer] });
    }
    this.#checkpoints.set(checkpointId, states);
  }

  /** Cuts all states, for a snapshot whose barrier names this checkpoint as its base. */
  cut(chain: Pick<Chain, "snapshot">, checkpointId: number | null): BasedCut[] {
    if (checkpointId !== null) this.#forgetBefore(checkpointId);
    const bases = new Map<string, StateBase | undefined>();
    const cuts = chain.snapshot((address) => {
      const base = this.#baseOf(checkpointId, address);
      bases.set(nameOf(address), base);
      return base?.cut;
    });
    return cuts.map((cut) => ({
      ...cut,
      base: cut.cursor.base === undefined ? undefined : bases.get(nameOf(cut)),
    }));
  }

  /** undefined: all rows are to be given. */
  #baseOf(checkpointId: number | null, address: VersionedState): StateBase | undefined {
    if (checkpointId === null) return undefined;
    const state = this.#checkpoints.get(checkpointId)?.get(nameOf(address));
    if (state === undefined || state.version !== address.version) return undefined;
    const pieces = piecesOf(state.layers);
    const wholeBytes = bytesOf(pieces.filter(({ changes }) => changes !== true));
    const lastBytes = state.layers.length > 1 ? bytesOf(state.layers.at(-1)!.pieces) : 0;
    const expectedBytes = bytesOf(pieces) + lastBytes;
    if (wholeBytes <= this.#inlineBytesMax || expectedBytes >= 2 * wholeBytes) return undefined;
    return merged({ cut: state.cut, below: state.layers, level: 0 });
  }

  /** The snapshots of a checkpoint are durable. Answers all pieces of each state, in the order of their restore. */
  stored(checkpointId: number, snapshots: readonly SnapshotOfState[]): (readonly StatePiece[])[] {
    const states = new Map<string, LayeredState>();
    for (const { cut, base, pieces, version = FIRST_VERSION, ...address } of snapshots) {
      const layer = { cut, level: base?.level ?? 0, pieces };
      const below = base?.below ?? [];
      const layers = base !== undefined && pieces.length === 0 ? below : [...below, layer];
      states.set(nameOf(address), { cut, version, layers });
    }
    this.#checkpoints.set(checkpointId, states);
    return [...states.values()].map(({ layers }) => piecesOf(layers));
  }

  /** The names of the objects that the states consist of, at the checkpoints that may still be named. */
  objects(): Set<string> {
    const layers = [...this.#checkpoints.values()].flatMap((states) =>
      [...states.values()].flatMap((state) => state.layers),
    );
    const objects = piecesOf(layers).flatMap(({ content }) => ("name" in content ? [content.name] : []));
    return new Set(objects);
  }

  /** The checkpoint was given up: no barrier will name it. */
  forget(checkpointId: number): void {
    this.#checkpoints.delete(checkpointId);
  }

  /** Barriers name this checkpoint from now on, or later ones. */
  #forgetBefore(checkpointId: number): void {
    for (const known of this.#checkpoints.keys()) if (known < checkpointId) this.#checkpoints.delete(known);
  }
}

export function keyedHandle(
  { operator, state, version = FIRST_VERSION }: Omit<BasedCut, "cursor">,
  keyGroups: KeyGroupRange,
  pieces: readonly StatePiece[],
): KeyedStateHandle {
  return {
    ...{ kind: "keyed", operator, state, keyGroups },
    ...(version !== FIRST_VERSION && { version }),
    serializer: SERIALIZER_IN_WORDS,
    pieces,
  };
}

/** How many bytes of a state's pieces travel in the manifest. */
export function inlineBytesOf(base: StateBase | undefined): number {
  return bytesOf(piecesOf(base?.below ?? []).filter(({ content }) => content instanceof Uint8Array));
}

/** The base below those layers that are to become one (YS3). */
function merged(base: StateBase): StateBase {
  const { below, level } = base;
  const alike = below.slice(1).findLastIndex((layer) => layer.level !== level) + 2;
  if (below.length - alike < LAYERS_MERGED) return base;
  const left = below.slice(0, alike);
  return merged({ cut: left.at(-1)!.cut, below: left, level: level + 1 });
}

function piecesOf(layers: readonly Layer[]): StatePiece[] {
  return layers.flatMap(({ pieces }) => pieces);
}

function nameOf({ operator, state }: StateAddress): string {
  return JSON.stringify([operator, state]);
}

function bytesOf(pieces: readonly StatePiece[]): number {
  return pieces.reduce((sum, { content }) => {
    return sum + (content instanceof Uint8Array ? content.byteLength : content.bytes);
  }, 0);
}
