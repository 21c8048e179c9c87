/** The beginning of a loop: passes on what comes in and what is fed back. */
import type { OperatorKind } from "./contract.ts";

export const iterate: OperatorKind<{ readonly waitingMax: number }> = {
  name: "iterate",
  describe: ({ waitingMax }) => ({ loop: { waitingMax }, beginsVertex: true }),
  open: (_, _services, outputs) => ({ inputs: [outputs.main] }),
};
