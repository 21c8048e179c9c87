/** One record for one. */
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { type Lifecycle, resourceOf, withResource } from "../lifecycle.ts";

export interface MapOperator {
  readonly map: (value: unknown, resource?: unknown) => unknown;
  readonly lifecycle?: Lifecycle | undefined;
}

export const map: OperatorKind<MapOperator> = {
  name: "map",
  describe: () => ({}),
  open(definition, { id }, { main: downstream }) {
    const resource = resourceOf(id, definition.lifecycle);
    const map = withResource(definition.map, resource);
    return {
      ...resource?.hooks,
      inputs: [
        (value, timestamp) => {
          let mapped: unknown;
          try {
            mapped = map(value);
          } catch (error) {
            throw failureOf(id, error);
          }
          if (!isAnswer(mapped)) refuseAnswer(id, "map answered", mapped);
          downstream(mapped, timestamp);
        },
      ],
    };
  },
};
