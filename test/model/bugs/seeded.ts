/** A seeded bug: the real protocol with one rule taken out, the bounds within which it shows, and what must find it. */
import type { CheckOptions, CheckResult } from "../checker/checker.ts";
import type { Bounds } from "../protocol/bounds.ts";
import type { DELETED_TOO_EARLY } from "../protocol/holds/objects.ts";
import { checkProtocol } from "../protocol/model.ts";
import { theProtocol, type Variant } from "../protocol/variant.ts";

export interface SeededBug {
  readonly name: string;
  /** Rules or invariants of machines/PROTOCOL.md or a machine that are taken out. */
  readonly rule: string;
  readonly what: string;
  /** Name of the invariant that its shortest counterexample breaks. */
  readonly foundBy: string;
  check(more: Partial<CheckOptions>): CheckResult;
}

interface BugDescription extends Omit<SeededBug, "check"> {
  readonly alters: Partial<Variant>;
  readonly bounds?: Partial<Bounds>;
  /** It would be found earlier by that: left out, so that `foundBy` is seen to find it, too. */
  readonly leavesOut?: typeof DELETED_TOO_EARLY;
}

/** One leader, one subtask that may run on two workers, an endless input of two records, two checkpoints. */
const USUAL: Bounds = {
  coordinators: ["A"],
  subtasks: { s: ["X", "Y"] },
  records: 2,
  bounded: false,
  periodic: true,
  triggers: 2,
};

export function seeded({ alters, bounds, leavesOut, ...bug }: BugDescription): SeededBug {
  const checked = leavesOut === undefined ? {} : { stepInvariants: {} };
  return {
    ...bug,
    check: (more) =>
      checkProtocol({ ...USUAL, ...bounds }, { ...theProtocol, ...alters }, { ...checked, ...more }),
  };
}
