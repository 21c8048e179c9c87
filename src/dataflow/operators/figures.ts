/** What the operators of a chain tell of themselves in reports. */

import type { Lateness, LatenessFigures } from "../time/lateness.ts";
import type { OpenOperator, OperatorDetails } from "./contract.ts";

/** What one operator has counted since it was opened, and what it holds: for reports. */
export interface OperatorFigures {
  readonly operator: string;
  /** By name; empty: it counts nothing. */
  readonly figures: Readonly<Record<string, number>>;
  /** How late its records came. Left out: none was late. */
  readonly lateness?: OperatorLateness;
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
    if (figures === undefined) return [];
    const late = lateness.figures();
    return { operator: id, figures, ...(late && { lateness: { ...late, ...allowedOf(details) } }) };
  });
}

function allowedOf({ allowedLatenessMs }: OperatorDetails): Pick<OperatorLateness, "allowedMs"> {
  return Number.isFinite(allowedLatenessMs) ? { allowedMs: allowedLatenessMs! } : {};
}
