/** Where a worker's process has keyed state: what a job's option `state.backend` comes to. */
import type { KeyedBackendOptions } from "./contract.ts";
import { HeapBackend, type StateSize } from "./heap/backend.ts";
import type { OpenBackend } from "./keyed-state.ts";

export interface StateBackends {
  /** Opens the backends of one generation. */
  of(generation: number): OpenBackend;
  /** Lets all that is left go, also files. */
  close(): Promise<void>;
}

export const heapBackends: StateBackends = {
  of: () => (options) => new HeapBackend(options),
  close: async () => undefined,
};

class WatchedHeapBackend extends HeapBackend {
  private readonly open: Set<HeapBackend>;

  constructor(options: KeyedBackendOptions, open: Set<HeapBackend>) {
    super(options);
    this.open = open;
    open.add(this);
  }

  override close(): void {
    super.close();
    this.open.delete(this);
  }
}

/** Backends in the heap that can be asked together what they hold. */
export class WatchedHeapBackends implements StateBackends {
  private readonly open = new Set<HeapBackend>();
  of(): (options: KeyedBackendOptions) => HeapBackend {
    return (options) => new WatchedHeapBackend(options, this.open);
  }

  /** What each state holds in all subtasks together, the largest first. */
  sizes(): readonly StateSize[] {
    const all = new Map<string, StateSize>();
    for (const backend of this.open) {
      for (const size of backend.sizes()) {
        const name = `${size.operator}/${size.state}`;
        const before = all.get(name);
        const rows = (before?.rows ?? 0) + size.rows;
        all.set(name, { ...size, rows, bytesPerRow: size.bytesPerRow ?? before?.bytesPerRow });
      }
    }
    return [...all.values()]
      .filter(({ rows }) => rows > 0)
      .sort((a, b) => (b.bytesPerRow ?? 1) * b.rows - (a.bytesPerRow ?? 1) * a.rows);
  }

  async close(): Promise<void> {
    this.open.clear();
  }
}
