/** Which states can never reach a goal again: backward reachability over the edges of a finished search. */
import type { Column } from "./column.ts";

/** The first such state; `good` says for each state whether it is itself a goal. */
export function stuckState(good: Column, from: Column, to: Column): number | undefined {
  const states = good.length;
  const { starts, sources } = incoming(states, from, to);
  const reaches = good.values.slice(0, states);
  const stack: number[] = [];
  for (let state = 0; state < states; state++) if (reaches[state]) stack.push(state);
  for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
    for (let i = starts[state]!; i < starts[state + 1]!; i++) {
      const source = sources[i]!;
      if (reaches[source]) continue;
      reaches[source] = 1;
      stack.push(source);
    }
  }
  const stuck = reaches.indexOf(0);
  return stuck < 0 ? undefined : stuck;
}

/** The sources of each state's incoming edges, side by side: those of `s` lie from `starts[s]` to `starts[s + 1]`. */
function incoming(states: number, from: Column, to: Column) {
  const starts = new Uint32Array(states + 1);
  for (let i = 0; i < to.length; i++) starts[to.at(i) + 1]!++;
  for (let state = 0; state < states; state++) starts[state + 1]! += starts[state]!;
  const free = starts.slice();
  const sources = new Uint32Array(from.length);
  for (let i = 0; i < from.length; i++) sources[free[to.at(i)]!++] = from.at(i);
  return { starts, sources };
}
