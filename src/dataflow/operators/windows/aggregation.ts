/** How the records of a window become one value, record by record. */

/** The user's functions. None of them changes what it is given. */
export interface Aggregation {
  /** The accumulator of a first record. */
  readonly first: (value: unknown) => unknown;
  readonly add: (accumulator: unknown, value: unknown) => unknown;
  /** The accumulator of the records of both, those of the first one in front. undefined: there is no such function. */
  readonly merge?: (accumulator: unknown, later: unknown) => unknown;
  readonly result: (accumulator: unknown) => unknown;
  /** The name of `add` in messages: "add", "reduce". */
  readonly addName: string;
}
