/** What is asked about the state of a running job, and what its workers answer: read between two records. */
import type { SubtaskName } from "../../../machines/protocol.ts";
import type { Key } from "../../state/descriptor.ts";

/**
 * How many rows each state has, what one key or all keys of a key group hold in one of them, or the entries of one that
 * belongs to no key.
 */
export type StateLook =
  | { readonly kind: "list" }
  | { readonly kind: "key"; readonly operator: string; readonly state: string; readonly key: Key }
  | { readonly kind: "group"; readonly operator: string; readonly state: string; readonly keyGroup: number }
  | { readonly kind: "entries"; readonly operator: string; readonly state: string };

/** A state of one subtask. */
export interface LiveState {
  readonly operator: string;
  readonly state: string;
  /** Left out where rows are pieces of lists. */
  readonly rows?: number;
}

/** A row of the key that was asked for: as `encodeEntry` of state/snapshot/codec.ts makes them. */
export interface LiveRow {
  /** Where more than one key was asked for. */
  readonly key?: Uint8Array;
  /** The key of an entry, in a map. */
  readonly entry?: Uint8Array;
  readonly value: Uint8Array;
}

/** What one subtask answers. */
export interface LiveSubtask {
  readonly subtask: SubtaskName;
  readonly generation: number;
  /** To "list". */
  readonly states?: readonly LiveState[];
  /** To "key" and "group", of the subtask that has the key or the group; to "entries", of each. */
  readonly rows?: readonly LiveRow[];
  /** There are more rows than an answer holds. */
  readonly more?: true;
}

/** The answer of one worker. */
export interface LiveAnswer {
  readonly subtasks: readonly LiveSubtask[];
}
