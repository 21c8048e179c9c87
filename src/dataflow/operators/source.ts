/** The beginning of a vertex that reads: records come in from the reader, which the subtask polls. */
import type { Source } from "../source.ts";
import type { OperatorKind } from "./contract.ts";

export const source: OperatorKind<{ readonly source: Source<unknown> }> = {
  name: "source",
  describe: ({ source }) => ({ source, beginsVertex: true }),
  open: (_, _services, outputs) => ({ inputs: [outputs.main] }),
};
