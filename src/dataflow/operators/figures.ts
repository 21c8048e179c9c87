/** What the operators of a chain tell of themselves in reports. */

import type { ExpiringFigures } from "../../state/ttl/expiring-rows.ts";
import type { Lateness, LatenessFigures } from "../time/lateness.ts";
import type { OpenOperator, OpenWindows, OperatorDetails } from "./contract.ts";

/** What one operator has counted since it was opened, and what it holds: for reports. */
export interface OperatorFigures {
  readonly operator: string;
  /** By name; empty: it counts nothing. */
  readonly figures: Readonly<Record<string, number>>;
  /** How late its records came. Left out: none was late. */
  readonly lateness?: OperatorLateness;
  /** Left out: it has none that could be open. */
  readonly openWindows?: OpenWindows;
  /** Its states whose values have a time to live. Left out: it has none. */
  readonly expiring?: readonly StateExpiry[];
}

export interface StateExpiry extends ExpiringFigures {
  readonly state: string;
}

export interface OperatorLateness extends LatenessFigures {
  /** The allowed lateness of its windows. Left out: it has none, or no end. */
  readonly allowedMs?: number;
}

interface FiguredOperator {
  readonly id: string;
  readonly details: OperatorDetails;
  readonly open: OpenOperator;
  readonly lateness: Lateness;
}

/** The operators that have something to tell, in their order. */
export function figuresOf(operators: readonly FiguredOperator[]): OperatorFigures[] {
  return operators.flatMap(({ id, details, open, lateness }) => {
    const figures = open.figures?.();
    const openWindows = open.openWindows?.();
    const late = lateness.figures();
    const expiring = expiringOf(open);
    if (figures === undefined && openWindows === undefined && late === undefined && expiring.length === 0)
      return [];
    return {
      operator: id,
      figures: figures ?? {},
      ...(late && { lateness: { ...late, ...allowedOf(details) } }),
      ...(openWindows && { openWindows }),
      ...(expiring.length > 0 && { expiring }),
    };
  });
}

function expiringOf({ state }: OpenOperator): StateExpiry[] {
  return (state?.expiring ?? []).flatMap(({ name, rows }) => {
    const figures = rows.figures();
    return figures === undefined ? [] : { state: name, ...figures };
  });
}

function allowedOf({ allowedLatenessMs }: OperatorDetails): Pick<OperatorLateness, "allowedMs"> {
  return Number.isFinite(allowedLatenessMs) ? { allowedMs: allowedLatenessMs! } : {};
}
