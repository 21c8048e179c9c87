/**
 * State that is made of lines: rows in memory, from time to time uploaded as the snapshots of the subtasks that will
 * have them.
 *
 * Owns: where a row goes, and how much of all is in memory. Does not own: what a line says (lines.ts).
 *
 * - YL1 Each upload is a piece of its own. A later piece wins, so what is given twice is noticed within one only.
 */
import type {
  GraphPlan,
  KeyedStateHandle,
  ObjectHandle,
  SubtaskName,
  VertexPlan,
} from "../../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { nextTurn, systemClock } from "../../../clock.ts";
import { keyedHandle } from "../../../runtime/worker/snapshots/state-layers.ts";
import { SnapshotUpload } from "../../../runtime/worker/snapshots/upload.ts";
import type { KeyedBackend, StateTable } from "../../../state/contract.ts";
import type { Key } from "../../../state/descriptor.ts";
import { HeapBackend } from "../../../state/heap/backend.ts";
import { keyGroupOf, keyGroupRangeOf, ownerOf } from "../../../state/key-groups.ts";

export interface LoadedRowsOptions {
  readonly plan: GraphPlan;
  readonly storage: Pick<CheckpointStorage, "put">;
  /** @param part a running number */
  readonly objectName: (part: number) => string;
  readonly versionOf: (operator: string, state: string) => string;
}

interface Subtask {
  readonly subtask: SubtaskName;
  readonly index: number;
  /** By operator. */
  readonly backends: Map<string, KeyedBackend>;
}

/** So much travels in the manifest, as it does of running jobs by default. */
const INLINE_BYTES_MAX = 20 * 1024;
const STEP_MS = 20;

export class LoadedRows {
  readonly #options: LoadedRowsOptions;
  readonly #vertices = new Map<string, VertexPlan>();
  readonly #subtasks = new Map<SubtaskName, Subtask>();
  readonly #tables = new Map<string, StateTable>();
  /** By subtask, operator and state. */
  readonly #handles = new Map<SubtaskName, Map<string, KeyedStateHandle>>();
  #parts = 0;

  constructor(options: LoadedRowsOptions) {
    this.#options = options;
    for (const vertex of options.plan.vertices)
      for (const { id } of vertex.operators) this.#vertices.set(id, vertex);
  }

  /** The table in which the key has its rows; the key is the current one there. */
  at(operator: string, state: string, key: Key): StateTable {
    const { maxParallelism } = this.#options.plan;
    const { id, parallelism } = this.#vertices.get(operator)!;
    const index = ownerOf(keyGroupOf(key, maxParallelism), parallelism, maxParallelism);
    const { subtask, backends } = this.#subtask(id, index);
    let backend = backends.get(operator);
    if (backend === undefined) {
      const keyGroups = keyGroupRangeOf(index, parallelism, maxParallelism);
      backend = new HeapBackend({ operator, keyGroups, maxParallelism });
      backends.set(operator, backend);
    }
    const name = `${subtask} ${operator} ${state}`;
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = backend.openTable(state);
      this.#tables.set(name, table);
    }
    backend.setCurrentKey(key);
    return table;
  }

  #subtask(vertex: string, index: number): Subtask {
    const subtask = `${vertex}/${index}`;
    const known = this.#subtasks.get(subtask) ?? { subtask, index, backends: new Map() };
    this.#subtasks.set(subtask, known);
    return known;
  }

  /** Uploads what is in memory, and lets it go. */
  async flush(signal: AbortSignal): Promise<void> {
    for (const { subtask, index, backends } of this.#subtasks.values()) {
      const { parallelism } = this.#vertices.get([...backends.keys()][0]!)!;
      const keyGroups = keyGroupRangeOf(index, parallelism, this.#options.plan.maxParallelism);
      let wake = (): void => {};
      const upload = new SnapshotUpload({
        clock: systemClock,
        cuts: [...backends].flatMap(([operator, backend]) =>
          backend.snapshot().map((named) => ({
            ...{ operator, ...named, base: undefined },
            version: this.#options.versionOf(operator, named.state),
          })),
        ),
        storage: { put: (name, content) => this.#put(name, content, signal) },
        inlineBytesMax: INLINE_BYTES_MAX,
        objectName: () => this.#options.objectName(this.#parts++),
        onRoom: () => wake(),
      });
      while (!upload.encoded) {
        // A put that fails makes room, too; `stored` tells.
        const room = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const hasMore = upload.step(systemClock.elapsedMs() + STEP_MS);
        if (hasMore || upload.encoded) await nextTurn(systemClock);
        else await room;
      }
      for (const one of await upload.stored()) this.#add(subtask, keyedHandle(one, keyGroups, one.pieces));
      for (const backend of backends.values()) backend.close();
    }
    this.#subtasks.clear();
    this.#tables.clear();
  }

  #put(
    name: string,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ObjectHandle> {
    return this.#options.storage.put(name, content, signal);
  }

  #add(subtask: SubtaskName, handle: KeyedStateHandle): void {
    const handles = this.#handles.get(subtask) ?? new Map<string, KeyedStateHandle>();
    this.#handles.set(subtask, handles);
    const name = `${handle.operator} ${handle.state}`;
    const before = handles.get(name)?.pieces ?? [];
    const later =
      before.length === 0
        ? handle.pieces
        : handle.pieces.map((piece) => ({ ...piece, changes: true as const }));
    handles.set(name, { ...handle, pieces: [...before, ...later] });
  }

  /** What was uploaded for a subtask. */
  statesOf(subtask: SubtaskName): KeyedStateHandle[] {
    return [...(this.#handles.get(subtask)?.values() ?? [])];
  }
}
