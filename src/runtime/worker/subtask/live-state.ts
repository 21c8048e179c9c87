/** What a subtask holds now, for a look into a running job: read between two records, all of a key at once. */
import type { LiveRow, LiveState, LiveSubtask, StateLook } from "../../../control/requests/live-state.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import { encodeEntry } from "../../../state/snapshot/codec.ts";

export type LiveFound = Pick<LiveSubtask, "states" | "rows" | "more">;

/** With what is around them, rows of so many bytes fit into a message of any server as it is by default. */
const GROUP_BYTES_MAX = 640 * 1024;
/** What a row takes in a message beside its content. */
const ROW_BYTES = 24;

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
    case "group":
      return groupOf(states, look);
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

function groupOf(
  { keyedStates }: States,
  { operator, state, keyGroup }: StateLook & { readonly kind: "group" },
): LiveFound | undefined {
  const rows: LiveRow[] = [];
  let bytes = 0;
  const known = keyedStates.get(operator)?.peekGroup(state, keyGroup, (key, values) => {
    const encodedKey = encodeEntry(key);
    for (const { entry, value } of values) {
      const row = { key: encodedKey, ...encoded({ entry }), value: encodeEntry(value) };
      bytes += encodedKey.byteLength + (row.entry?.byteLength ?? 0) + row.value.byteLength + ROW_BYTES;
      rows.push(row);
    }
    return bytes <= GROUP_BYTES_MAX;
  });
  if (known === undefined) return undefined;
  return bytes > GROUP_BYTES_MAX ? { more: true } : { rows };
}

const encoded = ({ entry }: { readonly entry?: string | number | undefined }): Pick<LiveRow, "entry"> =>
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
