/** Types of streams that TypeScript cannot infer from what a function emits. */

declare const witnessed: unique symbol;

/** Carries a type to where none can be inferred; holds nothing. */
export interface TypeWitness<T> {
  readonly [witnessed]?: T;
}

/** `output: type<{ word: string; count: number }>()` */
export function type<T>(): TypeWitness<T> {
  return {};
}
