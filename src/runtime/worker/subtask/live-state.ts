/** What a subtask holds now, for a look into a running job: read between two records, all of a key at once. */
import type { LiveSubtask, StateLook } from "../../../control/requests/live-state.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import { encodeEntry } from "../../../state/snapshot/codec.ts";

export type LiveFound = Pick<LiveSubtask, "states" | "rows">;

/** undefined: it has nothing of what is asked for. */
export function lookIntoState(
  { keyedStates }: Pick<Chain, "keyedStates">,
  look: StateLook,
): LiveFound | undefined {
  if (look.kind === "list")
    return {
      states: [...keyedStates].flatMap(([operator, state]) =>
        state
          .live()
          .map(({ name, rows }) => ({ operator, state: name, ...(rows !== undefined && { rows }) })),
      ),
    };
  const rows = keyedStates.get(look.operator)?.peek(look.state, look.key);
  if (rows === undefined) return undefined;
  return {
    rows: rows.map(({ entry, value }) => ({
      ...(entry !== undefined && { entry: encodeEntry(entry) }),
      value: encodeEntry(value),
    })),
  };
}
