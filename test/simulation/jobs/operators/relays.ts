/** Builds actors of a drawn job that send events to each other, with the engine's own builder. */
import { assign, emit, setup } from "xstate";
import type { Stream } from "../../../../src/job/stream.ts";
import { comesBack, type DrawnOperator, type Item, visited, wound } from "../drawing.ts";
import { relayed } from "../further-functions.ts";

type Pass = { type: "PASS"; item: Item };
type Told = Pass | { type: "SEEN"; count: number } | { type: "LEFT"; item: Item };

/** Each actor counts the items that come by, tells of each, and sends it on to another one for as long as it goes. */
export function applyRelay(operator: DrawnOperator, input: Stream<Item>): Stream<Item> {
  const { id, parallelism } = operator;
  const machine = setup({
    types: { events: {} as Pass, context: {} as { readonly count: number }, emitted: {} as Told },
    actions: {
      count: assign({ count: ({ context }) => context.count + 1 }),
      see: emit(({ context }) => ({ type: "SEEN" as const, count: context.count })),
      pass: emit(({ event }) => ({ type: "PASS" as const, item: relayed(operator, event.item) })),
      leave: emit(({ event }) => ({ type: "LEFT" as const, item: event.item })),
    },
    guards: { goesOn: ({ event }) => comesBack(event.item) },
  }).createMachine({
    context: { count: 0 },
    on: {
      PASS: [{ guard: "goesOn", actions: ["count", "see", "pass"] }, { actions: ["count", "see", "leave"] }],
    },
  });
  return input
    .keyBy(({ key }) => key)
    .machine(
      id,
      {
        machine,
        event: (item): Pass => ({ type: "PASS", item: wound(item) }),
        addressee: (event: Told) => (event.type === "PASS" ? event.item.key : undefined),
        emit: (event: Told, { key }): Item | undefined =>
          event.type === "SEEN"
            ? visited(id, key, event.count)
            : event.type === "LEFT"
              ? event.item
              : undefined,
      },
      { parallelism },
    ) as Stream<Item>;
}
