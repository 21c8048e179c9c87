/** What a loop over numbers must come to: computed without a loop of the engine's. */

export interface Steps {
  readonly start: number;
  readonly steps: number;
}

export const collatz = (value: number): number => (value % 2 === 0 ? value / 2 : 3 * value + 1);

export function stepsOf(start: number): number {
  let steps = 0;
  for (let value = start; value !== 1; value = collatz(value)) steps++;
  return steps;
}
