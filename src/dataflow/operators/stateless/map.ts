/** One record for one. */
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";

export const map: OperatorKind<{ readonly map: (value: unknown) => unknown }> = {
  name: "map",
  describe: () => ({}),
  open({ map }, { id }, { main: downstream }) {
    return {
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
