/** The option `combine` of aggregations: records of one key become one in front of the exchange. */
import { show } from "../../config/quantity.ts";
import { ConfigurationError } from "../../errors.ts";
import type { OperatorOptions } from "../definition.ts";

/** What a user may say of an aggregation, besides its name and its functions. */
export interface CombineOptions extends OperatorOptions {
  /**
   * true: records of one key that wait for the same frame become one in front of the exchange, so that a hot key costs
   * its subtask little. `reduce` is associative then, and keeps the key; an aggregate has `merge`. Default false.
   */
  readonly combine?: boolean | undefined;
}

/** Takes the option from those that every operator has. */
export function takeCombine(
  id: string,
  options: CombineOptions | undefined,
): { readonly combine: boolean; readonly others: OperatorOptions | undefined } {
  if (typeof options !== "object" || options === null) return { combine: false, others: options };
  const { combine = false, ...others } = options;
  if (typeof combine !== "boolean") {
    throw new ConfigurationError(id, `operator "${id}": combine must be true or false, is ${show(combine)}`);
  }
  return { combine, others };
}

export function refuseCombine(id: string, why: string): never {
  throw new ConfigurationError(id, `operator "${id}": combine ${why}`);
}
