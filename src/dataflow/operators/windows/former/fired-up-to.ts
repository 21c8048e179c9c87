/** How far windows had fired for each key when their state was cut (aligned/fired-marks.ts, PN3). */
import type { WindowsPlan } from "../../../../../machines/protocol.ts";
import type { Key } from "../../../../state/descriptor.ts";
import { compareNames } from "../../../../state/name-order.ts";
import type { AlignedWindows } from "../aligned/assigner.ts";
import { FIRED } from "../aligned/fired-marks.ts";
import type { ConversionParts } from "./conversion.ts";

interface Row {
  readonly key: Key;
  readonly end: number;
}

export class FiredUpTo {
  /** undefined: the cut was in the middle of a watermark, and rows tell of each key. */
  private readonly everywhere: number | undefined;
  private readonly isOwnRow: boolean;
  /** By key group, in the order of the keys. */
  private readonly rows = new Map<number, Row[]>();

  constructor(
    { staysForLate }: WindowsPlan,
    { isSinglePane }: AlignedWindows,
    { state, time }: Pick<ConversionParts, "state" | "time">,
  ) {
    this.isOwnRow = staysForLate;
    if (isSinglePane && !staysForLate) this.everywhere = Number.NEGATIVE_INFINITY;
    else if (time.isEven) this.everywhere = time.watermark + 1;
    if (this.everywhere !== undefined) return;
    for (const { key, keyGroup, value } of state.table(FIRED).rows()) {
      const rows = this.rows.get(keyGroup) ?? [];
      this.rows.set(keyGroup, rows);
      rows.push({ key, end: value as number });
    }
    for (const rows of this.rows.values()) rows.sort((a, b) => compareNames(a.key, b.key));
  }

  /** End of the last window that had fired for the key. -Infinity: none had, or those that had have left nothing. */
  of(keyGroup: number, key: Key): number {
    if (this.everywhere !== undefined) return this.everywhere;
    let fired = Number.NEGATIVE_INFINITY;
    for (const row of this.rows.get(keyGroup) ?? []) {
      const order = compareNames(row.key, key);
      if (order === 0 || (order > 0 && !this.isOwnRow)) fired = Math.max(fired, row.end);
    }
    return fired;
  }
}
