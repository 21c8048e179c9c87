/** The hot keys of one subtask: which of its channels bring keys, and what its report tells of them (P91). */
import type { HotKeysReport } from "../../../control/hot-keys.ts";
import { firstOf, type Vertex } from "../../../dataflow/graph.ts";
import { keyOfTravelling } from "../../../dataflow/operators/keyed/combine.ts";
import { type HotKey, HotKeys } from "../../../dataflow/operators/keyed/hot-keys.ts";
import type { KeySelector } from "../../../dataflow/operators/keyed/key-selector.ts";
import { visible } from "../../../errors.ts";
import type { SubtaskOptions } from "./subtask.ts";

const KEY_CHARS_MAX = 100;

/** undefined: no record comes from behind a keyBy. */
export function hotKeysOf({ graph, vertex, channels }: SubtaskOptions): HotKeys | undefined {
  const selectors = new Map<string, KeySelector>();
  for (const { id, to, partitioner } of graph.edges) {
    if (to !== vertex.id || partitioner.kind !== "hash") continue;
    selectors.set(id, keyOfTravelling(partitioner));
  }
  if (selectors.size === 0) return undefined;
  return new HotKeys(
    channels.map(({ edge }) => selectors.get(edge)),
    graph.maxParallelism,
  );
}

/** undefined: no key is hot. */
export function hotKeysIn(vertex: Vertex, hotKeys: HotKeys | undefined): HotKeysReport | undefined {
  const found = hotKeys?.figures() ?? [];
  if (found.length === 0) return undefined;
  return {
    mayCombine: firstOf(vertex).details.mayCombine === true,
    keys: found.map(({ key, keyGroup, share }) => ({
      key: textOf(key),
      keyGroup,
      perMille: Math.floor(share * 1000),
    })),
  };
}

function textOf(key: HotKey["key"]): string {
  if (typeof key !== "string") return typeof key === "bigint" ? `${key}n` : String(key);
  const shown = key.length <= KEY_CHARS_MAX ? key : `${key.slice(0, KEY_CHARS_MAX - 1)}…`;
  return visible(JSON.stringify(shown));
}
