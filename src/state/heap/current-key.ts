/**
 * The key of the record that is processed, for all tables of one operator: a table that is not used costs nothing.
 */
import { invariant, OperatorError } from "../../errors.ts";
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

/** The error where a state is used without a key. */
export function usedWithoutKey(operator: string, state: string): OperatorError {
  return new OperatorError(
    operator,
    new Error(
      `state "${state}" was used without a key. What a keyed state holds belongs to the key of a record, so it can be ` +
        "used only while a function runs for a key, such as onRecord, and not before or after it",
    ),
  );
}

/** A state is used in a way that it was not opened for. */
export function invariantOpened(
  condition: boolean,
  { operator, name }: StateName,
  how: string,
): asserts condition {
  invariant(condition, `state "${name}" of "${operator}" was not opened ${how}`);
}

interface StateName {
  readonly operator: string;
  readonly name: string;
}
