/** What the user says about a piece of keyed state, and the handle that operators use. Plain data. */

/** Keys of keyed streams. Other types are refused with a clear error when the first record arrives. */
export type Key = string | number | boolean | bigint;

export interface ValueStateDescriptor<T> {
  readonly kind: "value";
  /** What `get` answers for a key that was never set. Values are replaced, not mutated: never change it in place. */
  readonly initial: T;
}

/** One value per key. `initial` is answered until the first `set`. */
export function valueState<T>(initial: T): ValueStateDescriptor<T> {
  return { kind: "value", initial };
}

export type StateDescriptor = ValueStateDescriptor<unknown>;

/** The value of the key that is being processed. */
export interface ValueState<T> {
  get(): T;
  /** `value` belongs to the state from here on: replace it, do not mutate it. */
  set(value: T): void;
  /** The key answers `initial` again and takes no space. */
  clear(): void;
}

export type StateDescriptors = { readonly [name: string]: StateDescriptor };

export type StateHandles<S extends StateDescriptors> = {
  readonly [N in keyof S]: S[N] extends ValueStateDescriptor<infer T> ? ValueState<T> : never;
};
