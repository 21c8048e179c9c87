/** What machines may be made of, and what is refused of them: at build, or when it shows. */

import { describe, expect, test } from "vitest";
import {
  assign,
  cancel,
  createMachine,
  emit,
  enqueueActions,
  fromPromise,
  log,
  raise,
  sendTo,
  setup,
  spawnChild,
} from "xstate";
import type { Job } from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { type Ping, ping, pingJob } from "./pings.ts";

/** What comes out for these records, over a snapshot and a restore between each two. */
async function outOf(job: Job, records: readonly Ping[], untilMs?: number): Promise<unknown[]> {
  const out: unknown[] = [];
  let harness = await createTestHarness(job);
  for (const record of records) {
    await harness.push("events", record);
    out.push(...harness.output("out"));
    const restore = harness.snapshot();
    await harness.close();
    harness = await createTestHarness(job, { restore });
  }
  if (untilMs !== undefined) await harness.watermark("events", untilMs);
  out.push(...harness.output("out"));
  await harness.close();
  return out;
}

describe("what a machine may be made of", () => {
  test("delays of raise: by name, canceled by id, several without id", async () => {
    const machine = setup({
      types: { events: {} as Ping },
      delays: { soon: ({ event }) => event["delayMs"] as number },
    }).createMachine({
      on: {
        LATER: { actions: raise(({ event }) => ({ ...event, type: "DUE" }), { delay: "soon" }) },
        NAMED: { actions: raise({ type: "NAMED DUE", key: "", at: 0 }, { delay: 50, id: "named" }) },
        STOP: { actions: cancel("named") },
        DUE: { actions: emit(({ event }) => ({ type: "due", of: event["of"] })) },
        "NAMED DUE": { actions: emit({ type: "named due" }) },
      },
    });
    const job = pingJob(machine);
    const later = [ping("LATER", 1, { of: 1, delayMs: 30 }), ping("LATER", 2, { of: 2, delayMs: 10 })];
    expect(await outOf(job, [...later, ping("NAMED", 3)], 100)).toEqual([
      { type: "due", of: 2 },
      { type: "due", of: 1 },
      { type: "named due" },
    ]);
    expect(await outOf(job, [ping("NAMED", 3), ping("STOP", 4)], 100)).toEqual([]);
    expect(await outOf(job, [ping("NAMED", 3), ping("NAMED", 30)], 60)).toEqual([]);
  });

  test("after: it begins with its state, and is over with it", async () => {
    const machine = createMachine({
      initial: "closed",
      states: {
        closed: { on: { OPEN: "open" } },
        open: {
          after: { 100: "forgotten" },
          on: { CLOSE: "closed", OPEN: { target: "open", reenter: true } },
        },
        forgotten: { entry: emit({ type: "forgotten" }), on: { CLOSE: "closed" } },
      },
    });
    const forgotten = async (untilMs: number, ...records: readonly (readonly [string, number])[]) => {
      const all = [["CLOSE", 0] as const, ...records].map(([type, at]) => ping(type, at));
      return (await outOf(pingJob(machine), all, untilMs)).length;
    };
    expect(await forgotten(100, ["OPEN", 1])).toBe(0);
    expect(await forgotten(101, ["OPEN", 1])).toBe(1);
    expect(await forgotten(1_000, ["OPEN", 1], ["CLOSE", 2])).toBe(0);
    expect(await forgotten(149, ["OPEN", 1], ["CLOSE", 2], ["OPEN", 50])).toBe(0);
    expect(await forgotten(150, ["OPEN", 1], ["CLOSE", 2], ["OPEN", 50])).toBe(1);
    expect(await forgotten(149, ["OPEN", 1], ["OPEN", 50])).toBe(0);
    expect(await forgotten(150, ["OPEN", 1], ["OPEN", 50])).toBe(1);
  });

  test("parallel regions, history, raise, enqueueActions, always", async () => {
    const machine = setup({
      types: {
        events: {} as Ping,
        context: {} as { tries: number },
        emitted: {} as { type: "tried"; before: number } | { type: "raised" },
      },
      actions: { count: (_, _params: { one: number }) => {}, tire: () => {}, goFast: () => {} },
      guards: { tired: ({ context }) => context.tries > 1 },
    }).createMachine({
      context: { tries: 0 },
      type: "parallel",
      states: {
        work: {
          initial: "on",
          states: {
            on: {
              initial: "slow",
              states: {
                slow: { on: { FASTER: "fast" } },
                fast: { entry: "goFast" },
                last: { type: "history" },
              },
              on: { PAUSE: "off" },
            },
            off: { on: { RESUME: "on.last" } },
          },
        },
        tries: {
          initial: "some",
          states: {
            some: {
              always: { guard: "tired", target: "many" },
              on: {
                TRY: {
                  actions: enqueueActions(({ enqueue, context }) => {
                    enqueue.assign({ tries: context.tries + 1 });
                    enqueue.emit({ type: "tried", before: context.tries });
                    enqueue({ type: "count", params: { one: 1 } });
                    enqueue.raise({ type: "RAISED", key: "", at: 0 });
                  }),
                },
              },
            },
            many: { entry: { type: "tire" } },
          },
          on: { RAISED: { actions: emit({ type: "raised" }) } },
        },
      },
    });
    const job = pingJob(machine, {
      emit: (event: object, { value }: { value: unknown }) => ({ ...event, value }),
    });
    const records = ["FASTER", "PAUSE", "RESUME", "TRY", "TRY"].map((type, at) => ping(type, at));
    expect(await outOf(job, records)).toEqual([
      { type: "goFast" },
      { type: "goFast" },
      { type: "tried", before: 0, value: { work: { on: "fast" }, tries: "some" } },
      { type: "count", params: { one: 1 } },
      { type: "raised", value: { work: { on: "fast" }, tries: "some" } },
      { type: "tried", before: 1, value: { work: { on: "fast" }, tries: "many" } },
      { type: "count", params: { one: 1 } },
      { type: "tire" },
      { type: "raised", value: { work: { on: "fast" }, tries: "many" } },
    ]);
  });

  test("event is told the key and the event time of the record; what it answers none for is for no actor", async () => {
    const machine = setup({ types: { events: {} as Ping } }).createMachine({
      on: { SEEN: { actions: emit(({ event }) => ({ type: "seen", by: event["by"], at: event["at"] })) } },
    });
    const event = (record: Ping, { key, timestamp }: { key: string; timestamp: number }) =>
      record.type === "SKIP" ? undefined : { type: "SEEN", by: key, at: timestamp };
    const job = pingJob(machine, { event, unknownKey: () => "start" });
    expect(await outOf(job, [ping("SKIP", 1), ping("X", 2)])).toEqual([{ type: "seen", by: "k", at: 2 }]);
  });

  test("no context is shared: neither the one that the machine gives, nor one of another key", async () => {
    const machine = createMachine({
      context: { items: [] as string[] },
      on: {
        ADD: { actions: assign({ items: ({ context, event }) => [...context.items, event["item"]] }) },
        SHOW: { actions: emit(({ context }) => ({ type: "items", items: context.items })) },
      },
    });
    const records = [
      ping("ADD", 1, { item: "a" }),
      ping("ADD", 2, { key: "other", item: "b" }),
      ping("SHOW", 3),
      ping("SHOW", 4, { key: "other" }),
    ];
    expect(await outOf(pingJob(machine), records)).toEqual([
      { type: "items", items: ["a"] },
      { type: "items", items: ["b"] },
    ]);
    expect(machine.config.context).toEqual({ items: [] });
    expect(Object.isFrozen(machine.config.context)).toBe(false);
  });
});

const checking = fromPromise(async () => true);
const states = (checked: object, rest: object = {}) => ({
  id: "order",
  initial: "checked",
  states: { checked, other: {} },
  ...rest,
});
const withActors = setup({ actors: { checking } });

/** A machine, what its refusal says. */
const refused: readonly (readonly [string, () => unknown, RegExp])[] = [
  ["no machine", () => ({}), /machine must be made by XState 5/],
  ["nothing", () => undefined, /machine must be made by XState 5/],
  [
    "invoke",
    () => withActors.createMachine(states({ invoke: { src: "checking" } })),
    /state "order\.checked" of its machine invokes "checking".*async\(\)/,
  ],
  [
    "sendTo",
    () => createMachine(states({ entry: sendTo("x", { type: "X" }) })),
    /state "order\.checked" .* uses sendTo.*addressee/,
  ],
  [
    "spawnChild",
    () => withActors.createMachine(states({ exit: spawnChild("checking") })),
    /state "order\.checked" .* uses spawnChild/,
  ],
  [
    "log",
    () => createMachine(states({ on: { X: { actions: log("x") } } })),
    /state "order\.checked" .* uses log/,
  ],
  [
    "sendTo by a name",
    () =>
      setup({ actions: { tell: sendTo("x", { type: "X" }) } }).createMachine(
        states({ always: { actions: "tell", target: "other" } }),
      ),
    /state "order\.checked" .* uses sendTo/,
  ],
  [
    "a function as action",
    () => createMachine(states({ entry: () => {} })),
    /state "order\.checked" .* has an action that is a function.*setup/,
  ],
  [
    "a delay that is not there",
    () => createMachine(states({ after: { soon: "other" } })),
    /waits for delay "soon", which is not defined/,
  ],
  [
    "a guard that is not there",
    () => createMachine(states({ on: { X: { guard: "may", target: "other" } } })),
    /asks guard "may", which is not defined/,
  ],
  [
    "a context that cannot be stored",
    () => createMachine(states({}, { context: { at: new URL("http://x") } })),
    /context of its machine cannot be stored: field "at"/,
  ],
];

describe("what is refused at build", () => {
  test.each(refused)("%s", (_, machine, message) => {
    expect(() => pingJob(machine() as never)).toThrow(message);
  });

  const plain = createMachine({ id: "order", initial: "a", states: { a: { after: { 1000: "b" } }, b: {} } });
  const options: readonly (readonly [object, RegExp])[] = [
    [{ evnet: 1 }, /no member "evnet".*event/],
    [{ event: 1 }, /event must be a function/],
    [{ time: "wall" }, /time must be "event" or "processing", is the text "wall"/],
    [{ time: "processing", replayClock: "pause" }, /replayClock must be "resume"/],
    [{ replayClock: "resume" }, /replayClock is for a machine with time: "processing"/],
    [{ final: "drop" }, /final must be "evict" or "keep"/],
    [{ unknownKey: "begin" }, /unknownKey must be "start" or "refuse"/],
    [{ idle: "soon" }, /idle/],
    [{ idle: 0 }, /idle must be at least 1 ms/],
    [{ expired: () => 1 }, /expired is given, and idle is not/],
    [{ version: 2 }, /version must be a text/],
    [{ version: "2", migrate: { 2: () => 1 } }, /migrate\["2"\] is for actors of this very version/],
    [{ migrate: { 1: 1 }, version: "2" }, /migrate\["1"\] must be a function/],
    [{ addressee: () => "x" }, /actors have delays.*endOfInput: "drop"/],
  ];
  test.each(options)("%o", (given, message) => {
    expect(() => pingJob(plain, given)).toThrow(message);
  });
});

describe("what is refused when it shows", () => {
  const enqueueing = (enqueue: (queue: never) => void) =>
    createMachine({
      id: "m",
      on: { X: { actions: enqueueActions(({ enqueue: queue }) => enqueue(queue as never)) } },
    });
  const failures: readonly (readonly [string, Parameters<typeof pingJob>, RegExp])[] = [
    [
      "sendTo in enqueueActions",
      [
        enqueueing(({ sendTo: send }: never) =>
          (send as (...all: unknown[]) => void)(({ self }: never) => self, { type: "Y" }),
        ),
      ],
      /names sendTo/,
    ],
    [
      "a function in enqueueActions",
      [enqueueing((queue) => (queue as (action: unknown) => void)(() => {}))],
      /names an action that is a function/,
    ],
    [
      "spawn in assign",
      [
        createMachine({
          context: { child: null as unknown },
          on: { X: { actions: assign({ child: ({ spawn }) => spawn(checking) }) } },
        }),
      ],
      /spawnChild \(and spawn\)/,
    ],
    [
      "random numbers",
      [createMachine({ context: { at: 0 }, on: { X: { actions: assign({ at: () => Math.random() }) } } })],
      /event "X" with another context\.at the second time/,
    ],
    [
      "random effects",
      [createMachine({ on: { X: { actions: emit(() => ({ type: "e", at: Math.random() })) } } })],
      /event "X" with another list of actions/,
    ],
    [
      "a random beginning",
      [createMachine({ context: () => ({ at: Math.random() }) })],
      /its first state with another context\.at/,
    ],
    [
      "a context that is changed in place",
      [
        createMachine({
          context: { all: [] as number[] },
          on: {
            X: {
              actions: assign(({ context }) => {
                context.all.push(1);
                return context;
              }),
            },
          },
        }),
      ],
      /second time|never changed in place/,
    ],
    [
      "a context that cannot be stored",
      [createMachine({ context: () => ({ at: checking.transition }) })],
      /actors of the machine.*at/,
    ],
    [
      "an endless cycle",
      [createMachine({ initial: "a", states: { a: { always: "b" }, b: { always: "a" } } })],
      /Infinite loop/,
    ],
    [
      "no event",
      [createMachine({}), { event: () => "X" }],
      /event answered a text of 1 character; an event is needed/,
    ],
    [
      "an event of XState's",
      [createMachine({}), { event: () => ({ type: "xstate.stop" }) }],
      /that is XState's own/,
    ],
    ["an answer of unknownKey", [createMachine({}), { unknownKey: () => true }], /unknownKey answered true/],
    [
      "a guard that throws",
      [
        createMachine({
          on: {
            X: {
              guard: () => {
                throw new Error("no mood");
              },
              actions: "x",
            },
          },
        }),
      ],
      /no mood/,
    ],
    [
      "a delay that is none",
      [
        setup({ delays: { d: () => Number.NaN } }).createMachine({
          initial: "a",
          states: { a: { after: { d: "b" } }, b: {} },
        }),
      ],
      /delay of its machine is NaN/,
    ],
    [
      "no timestamp",
      [createMachine({ initial: "a", states: { a: { after: { 10: "b" } }, b: {} } })],
      /no timestamp.*time: "processing"/,
    ],
    [
      "an addressee that is no key",
      [createMachine({ on: { X: { actions: emit({ type: "e" }) } } }), { addressee: () => ({}) }],
      /addressee answered an object; the key of an actor/,
    ],
  ];
  test.each(failures)("%s", async (what, job, message) => {
    const harness = await createTestHarness(pingJob(...job));
    const at = what === "no timestamp" ? Number.NEGATIVE_INFINITY : 5;
    await expect(harness.push("events", ping("X", at))).rejects.toThrow(message);
    await harness.close();
  });

  test("a second answer of a later step is compared, too", async () => {
    let calls = 0;
    const machine = createMachine({
      on: { X: { actions: emit(() => ({ type: "e", second: calls++ > 2 })) } },
    });
    const harness = await createTestHarness(pingJob(machine));
    await harness.push("events", ping("X", 1));
    await expect(harness.push("events", ping("X", 2))).rejects.toThrow(
      'operator "actors" failed: its machine answers',
    );
    await harness.close();
  });
});
