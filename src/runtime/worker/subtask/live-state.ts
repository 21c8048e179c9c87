/** What a subtask holds now, for a look into a running job: read between two records, all of a key at once. */
import type { LiveState, LiveSubtask, StateLook } from "../../../control/requests/live-state.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import { encodeEntry } from "../../../state/snapshot/codec.ts";

export type LiveFound = Pick<LiveSubtask, "states" | "rows">;

type States = Pick<Chain, "keyedStates" | "operatorStates">;

/** undefined: it has nothing of what is asked for. */
export function lookIntoState(states: States, look: StateLook): LiveFound | undefined {
  switch (look.kind) {
    case "list":
      return { states: listOf(states) };
    case "entries": {
      const cuts = states.operatorStates.get(look.operator)?.cut();
      const rows = cuts?.find(({ state }) => state === look.state)?.entries.map((value) => ({ value }));
      return rows && { rows };
    }
    case "key": {
      const rows = states.keyedStates.get(look.operator)?.peek(look.state, look.key);
      return (
        rows && {
          rows: rows.map(({ entry, value }) => ({ ...encoded({ entry }), value: encodeEntry(value) })),
        }
      );
    }
  }
}

const encoded = ({ entry }: { readonly entry: string | number | undefined }) =>
  entry === undefined ? {} : { entry: encodeEntry(entry) };

function listOf({ keyedStates, operatorStates }: States): LiveState[] {
  const keyed = [...keyedStates].flatMap(([operator, state]) =>
    state.live().map(({ name, rows }) => ({ operator, state: name, ...(rows !== undefined && { rows }) })),
  );
  const unkeyed = [...operatorStates].flatMap(([operator, states]) =>
    states.cut().map(({ state, entries }) => ({ operator, state, rows: entries.length })),
  );
  return [...keyed, ...unkeyed];
}
