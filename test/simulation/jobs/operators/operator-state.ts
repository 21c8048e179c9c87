/** Builds operators of a drawn job with state that belongs to no key, with the engine's own builder. */
import {
  broadcastState,
  operatorListState,
  operatorUnionState,
  type,
  valueState,
} from "../../../../src/index.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import {
  bufferSizeOf,
  type DrawnOperator,
  groupOf,
  type Item,
  keyOf,
  ruled,
  summed,
  told,
} from "../drawing.ts";
import { stray } from "../further-functions.ts";

type Of<K extends DrawnOperator["kind"]> = Extract<DrawnOperator, { readonly kind: K }>;

export function applyBuffer(operator: Of<"buffer">, input: Stream<Item>): Stream<Item> {
  return operator.state === "list" ? listed(operator, input) : united(operator, input);
}

/** Lets items go whenever so many have come. */
function listed(operator: Of<"buffer">, input: Stream<Item>): Stream<Item> {
  return input.process(
    operator.id,
    {
      state: { held: operatorListState<Item>() },
      output: type<Item>(),
      onRecord(item, { state, emit }) {
        state.held.add(item);
        if (state.held.size < bufferSizeOf(operator)) return;
        for (const held of state.held) emit(held);
        state.held.clear();
      },
      onEnd({ state, emit }) {
        for (const held of state.held) emit(held);
      },
    },
    { parallelism: operator.parallelism },
  );
}

interface Owned {
  readonly owner: number;
  readonly item: Item;
}

/** Lets all items go at the end. Each subtask has the items of all after a restore, and keeps its own. */
function united({ id, parallelism }: Of<"buffer">, input: Stream<Item>): Stream<Item> {
  return input.process(
    id,
    {
      open({ state, subtaskIndex }) {
        state.held.set(state.held.get().filter(({ owner }) => owner === subtaskIndex));
        return subtaskIndex;
      },
      state: { held: operatorUnionState<Owned>() },
      output: type<Item>(),
      onRecord(item, { state, resource: owner }) {
        state.held.add({ owner, item });
      },
      onEnd({ state, emit }) {
        for (const { item } of state.held) emit(item);
      },
    },
    { parallelism },
  );
}

/** Rules are counted in broadcast state, records in keyed state; at the end of each key it tells of both. */
export function applyRules(
  { id, keys, parallelism, waitFor }: Of<"rules">,
  records: Stream<Item>,
  rules: Stream<Item>,
): Stream<Item> {
  const inOneOrder = rules.map(`${id}-rules`, (item) => item, { parallelism: 1 }).broadcast({ waitFor });
  return records
    .keyBy(keyOf[keys])
    .connect(inOneOrder)
    .process(
      id,
      {
        broadcast: { rules: broadcastState<number, number>() },
        state: { count: valueState(0) },
        output: type<Item>(),
        onBroadcast({ key }, { broadcast, emit }) {
          const count = (broadcast.rules.get(key) ?? 0) + 1;
          broadcast.rules.set(key, count);
          emit(ruled(id, key, count));
        },
        onRecord(_, { key, state, broadcast, emit }) {
          const isTooEarly = waitFor !== undefined && broadcast.rules.size === 0;
          if (isTooEarly) emit(stray(id, groupOf(key)));
          state.count.set(state.count.get() + 1);
          emit(told(id, groupOf(key), state.count.get()));
        },
        onEnd({ key, state, broadcast }) {
          const count = [...broadcast.rules.values()].reduce((sum, one) => sum + one, 0);
          return summed(id, groupOf(key), state.count.get(), count);
        },
      },
      { parallelism },
    );
}
