/** Values of every kind that a user's function may hand on. */
import fc, { type ObjectConstraints } from "fast-check";

export const anything = (more: ObjectConstraints = {}): fc.Arbitrary<unknown> =>
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    ...more,
  });
