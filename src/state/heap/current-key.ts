/**
 * The key of the record that is processed, for all tables of one operator: a table that is not used costs nothing.
 */
import type { Key } from "../descriptor.ts";

export class CurrentKey {
  key: Key = "";
  /** The hash of its row in the fixed namespace. */
  hash = 0;
  /** The hash tells the key (isOwnHash in row-hash.ts). */
  isOwn = false;
  /** The key's group, counted from the subtask's first one; -1: there is no key. */
  group = -1;
  /** Another one each time that a key is set; 0 only until the tables have forgotten theirs. */
  turn = 1;
}
