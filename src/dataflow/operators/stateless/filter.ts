/** The records for which the function answers true. */
import { refuseAnswer, wanted } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { type Lifecycle, resourceOf, withResource } from "../lifecycle.ts";

export interface FilterOperator {
  readonly filter: (value: unknown, resource?: unknown) => boolean;
  readonly lifecycle?: Lifecycle | undefined;
}

export const filter: OperatorKind<FilterOperator> = {
  name: "filter",
  describe: () => ({}),
  open(definition, { id }, { main: downstream }) {
    const resource = resourceOf(id, definition.lifecycle);
    const filter = withResource(definition.filter, resource);
    return {
      ...resource?.hooks,
      inputs: [
        (value, timestamp) => {
          let passes: boolean;
          try {
            passes = filter(value);
          } catch (error) {
            throw failureOf(id, error);
          }
          if (passes === true) downstream(value, timestamp);
          else if (passes !== false) refuseAnswer(id, "filter answered", passes, wanted.boolean);
        },
      ],
    };
  },
};
