/**
 * The contract of an order of times: what is due first is in front. A backend may have one that needs not fit into
 * memory; otherwise it is timer-queue.ts.
 *
 * What is in it are entries: ascending time, at equal times the lower key group first, and within a group the lower
 * ordinal. Nothing of it is cut or stored: it is made anew from rows of keyed state.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";

export interface TimeOrder {
  /** How many entries there are, those included that are kept by `delete`. */
  readonly size: number;
  /** The time of the entry in front; undefined: there is none. */
  readonly firstTime: number | undefined;
  /** What else is known of it, if there is one. */
  readonly firstGroup: number;
  readonly firstOrdinal: number;
  readonly firstKey: Key;
  readonly firstNamespace: Namespace;
  /** @param ordinal an integer from 0 on, which no other entry has */
  add(group: number, time: number, ordinal: number, key: Key, namespace: Namespace): void;
  removeFirst(): void;
  /**
   * Deletes an entry that is there.
   * @param time that it was added with; undefined: the caller does not know it. The order then may keep the entry until
   * it comes to the front
   */
  delete(group: number, ordinal: number, time: number | undefined): void;
  /**
   * Calls `look` with entries that are due at `time`: with all of them, or with about one of so many as it answers
   * where there are more than `max`. Of those that do not lie in memory, some may be left out.
   */
  lookAtDue(time: number, max: number, look: (key: Key, namespace: Namespace) => void): number;
}
