/** The end of a chain: records go to the writer, which the subtask opens, cuts, commits and closes. */

import { isAnswer, refuseAnswer, wanted } from "../answers.ts";
import type { Sink } from "../sink.ts";
import type { OperatorKind } from "./contract.ts";
import { failureOf } from "./failure.ts";

export const sink: OperatorKind<{ readonly sink: Sink<unknown> }> = {
  name: "sink",
  describe: ({ sink }) => ({ sink }),
  open(_, { id, writer }) {
    const opened = writer();
    return {
      inputs: [
        (value, timestamp) => {
          try {
            const answer: unknown = opened.write(value, timestamp);
            if (answer !== undefined && !isAnswer(answer))
              refuseAnswer(id, "write answered", answer, wanted.nothing);
          } catch (error) {
            throw failureOf(id, error);
          }
        },
      ],
    };
  },
};
