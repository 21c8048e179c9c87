/**
 * The requests of one subtask in its keyed state: so they are cut, stored, restored and dealt out as all keyed state
 * is.
 *
 * Owns: the rows, the numbers of requests. Does not own: order (queue.ts), calls (call.ts).
 *
 * - QS1 A row holds the record, not its answer, from the record's arrival until its results have gone out. A restored
 *   row is asked for again.
 * - QS2 A request is told by its key and its number among those of that key. Numbers are state, too: a record that is
 *   read again after a restore gets the number that it had, if the records of its key come in the same order.
 * - QS3 A row tells the watermark that stood in front of its record. Under any parallelism no mark then overtakes what
 *   it stood behind: rows are given back in the order of those watermarks, then in that of arrival.
 * - QS4 The records of a stream without keys lie under a key of the subtask's own, in its first key group.
 */
import { createHash } from "node:crypto";
import { invariant } from "../../../errors.ts";
import { ABSENT, type StateTable } from "../../../state/contract.ts";
import { type Key, type StateDescriptors, stateTable } from "../../../state/descriptor.ts";
import { keyGroupOf } from "../../../state/key-groups.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { encodePlain } from "../../../state/snapshot/codec.ts";

export const REQUESTS = "requests";
const NUMBERS = "numbers";

export const requestStates: StateDescriptors = { [REQUESTS]: stateTable(), [NUMBERS]: stateTable() };

export interface StoredRequest {
  readonly key: Key;
  /** Counts the requests of the key from 0. */
  readonly number: number;
  readonly value: unknown;
  /** Event time of the record. */
  readonly timestamp: number;
}

interface Row {
  readonly value: unknown;
  readonly timestamp: number;
  /** The watermark that stood in front of the record. */
  readonly behind: number;
  /** Counts the subtask's records in their order. */
  readonly ordinal: number;
}

/** A request as it was stored, and the watermark that stood in front of it. */
export interface RestoredRequest extends StoredRequest {
  readonly behind: number;
}

export class StoredRequests {
  readonly #state: KeyedState;
  readonly #requests: StateTable;
  readonly #numbers: StateTable;
  #nextOrdinal = 0;

  constructor(state: KeyedState) {
    this.#state = state;
    this.#requests = state.table(REQUESTS);
    this.#numbers = state.table(NUMBERS);
  }

  add(key: Key, value: unknown, timestamp: number, behind: number): StoredRequest {
    this.#state.setCurrentKey(key);
    const before = this.#numbers.read();
    const number = before === ABSENT ? 0 : (before as number);
    this.#numbers.write(number + 1);
    this.#requests.setCurrentNamespace(number);
    const row: Row = { value, timestamp, behind, ordinal: this.#nextOrdinal++ };
    this.#requests.write(row);
    return { key, number, value, timestamp };
  }

  remove({ key, number }: StoredRequest): void {
    this.#state.setCurrentKey(key);
    this.#requests.setCurrentNamespace(number);
    this.#requests.remove();
  }

  /** Called once, when the state is restored. */
  restored(): RestoredRequest[] {
    const rows = [...this.#requests.rows()].map(({ key, namespace, value }) => {
      invariant(typeof namespace === "number", "a request has a number");
      return { key, number: namespace, row: value as Row };
    });
    rows.sort((a, b) => compare(a.row.behind, b.row.behind) || a.row.ordinal - b.row.ordinal);
    for (const { row } of rows) this.#nextOrdinal = Math.max(this.#nextOrdinal, row.ordinal + 1);
    return rows.map(({ key, number, row: { value, timestamp, behind } }) => ({
      key,
      number,
      value,
      timestamp,
      behind,
    }));
  }
}

/** A key of the first key group of the subtask. */
export function ownKeyOf({ keyGroups, maxParallelism }: KeyedState): number {
  let key = 0;
  while (keyGroupOf(key, maxParallelism) !== keyGroups.first) key++;
  return key;
}

/**
 * The name of a request: the operator, the key, the number, and a digest of the record. After a failure another record
 * may get the number, where the records of a key come from several senders: it then has a name of its own, and a
 * service that knows requests by their names does not take the two for one.
 */
export function nameOfRequest(operator: string, { key, number, value }: StoredRequest): string {
  const bytes = encodePlain([value], () => "a record");
  const digest = createHash("sha256").update(bytes).digest("base64url").slice(0, DIGEST_CHARACTERS);
  return `${operator}/${key}/${number}/${digest}`;
}

const DIGEST_CHARACTERS = 12;

/** Infinities differ from each other by no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);
