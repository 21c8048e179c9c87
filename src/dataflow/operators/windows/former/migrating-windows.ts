/** Windows of an operator that also finishes those that the job had before. */
import type { FormerWindowsPlan, Slices } from "../../contract.ts";
import type { AlignedParts } from "../aligned/single-pane.ts";
import type { WindowDefinition } from "../definition.ts";
import type { TimedWindows } from "../processing-time-windows.ts";
import { conversionOf } from "./conversion.ts";
import { type FormerParts, FormerWindows } from "./former-windows.ts";

interface MigratingParts extends FormerParts, Pick<AlignedParts, "time"> {
  readonly former: FormerWindowsPlan;
}

/** The windows as they are, unless the operator is to finish others. */
export function withFormer(
  present: TimedWindows,
  { aggregation, migrateWindows }: Pick<WindowDefinition, "aggregation" | "migrateWindows">,
  parts: MigratingParts,
): TimedWindows {
  if (migrateWindows !== "finish-old") return present;
  const former = new FormerWindows(parts, aggregation);
  return {
    inputs: present.inputs,
    state: present.state,
    restored() {
      const { windows } = parts.former;
      return oneAfterTheOther([
        () => (windows === undefined ? undefined : conversionOf(windows, aggregation, parts)),
        () => former.restored(),
        () => present.restored(),
      ]);
    },
    get nextEnd() {
      return Math.min(former.nextEnd, present.nextEnd);
    },
    advance(time) {
      const [first, second] = [former.advance(time), present.advance(time)];
      if (first === undefined) return second;
      return oneAfterTheOther([() => first, () => second]);
    },
    figures: () => present.figures(),
    openWindows() {
      const [first, second] = [former.openWindows(), present.openWindows()];
      const ends = [first, second].flatMap(({ lastEndMs }) => lastEndMs ?? []);
      return {
        windows: first.windows + second.windows,
        of: second.of,
        lastEndMs: ends.length === 0 ? null : Math.max(...ends),
      };
    },
  };
}

/** Each begins when the one before it is done. */
function oneAfterTheOther(begin: readonly (() => Slices | undefined)[]): Slices {
  let next = 0;
  let current: Slices | undefined;
  return {
    step() {
      if (current?.step() === true) return true;
      if (next === begin.length) return false;
      current = begin[next++]!();
      return true;
    },
  };
}
