/** The records for which the function answers true. */
import { refuseAnswer, wanted } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";

export const filter: OperatorKind<{ readonly filter: (value: unknown) => boolean }> = {
  name: "filter",
  describe: () => ({}),
  open({ filter }, { id }, { main: downstream }) {
    return {
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
