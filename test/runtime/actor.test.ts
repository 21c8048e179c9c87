import { afterEach, describe, expect, it, vi } from "vitest";
import { assign, setup } from "xstate";
import { declareEffects } from "../../machines/effects.ts";
import { leaseMachine } from "../../machines/leader/lease.ts";
import type { Role, Roles } from "../../machines/roles.ts";
import {
  type ActorDefinition,
  type AnswerOf,
  Host,
  type MachineEvent,
  type Step,
} from "../../src/runtime/actor.ts";
import { ManualClock, settled } from "../support/manual-clock.ts";

interface ToyEffects {
  "do.work": { readonly name: string };
  "store.value": { readonly value: number };
  "tell.peer": { readonly event: MachineEvent };
  "timer.start": { readonly timer: string; readonly ms: number };
  "timer.cancel": { readonly timer: string };
}

type ToyEvent =
  | { readonly type: "work.asked" }
  | { readonly type: "value.stored" }
  | { readonly type: "work.told" }
  | { readonly type: "store.asked" }
  | { readonly type: "badly.asked" }
  | { readonly type: "guard.broken" }
  | { readonly type: "end.asked" }
  | { readonly type: "timer.armed" }
  | { readonly type: "timer.fired"; readonly timer: string };

type Seen = AnswerOf<Roles["lease"], "read.lease">;
type Toy = Role<unknown, MachineEvent>;
type Toys = Readonly<Record<string, Toy>>;

/** A machine with every kind of effect. */
const toyMachine = setup({
  types: {} as { context: { readonly events: number }; events: ToyEvent },
  actions: {
    ...declareEffects<ToyEffects>({
      "do.work": true,
      "store.value": true,
      "tell.peer": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    count: assign({ events: ({ context }) => context.events + 1 }),
  },
  guards: {
    throwing: () => {
      throw new Error("a broken guard");
    },
  },
}).createMachine({
  id: "toy",
  options: { maxIterations: 10 },
  context: { events: 0 },
  initial: "idle",
  states: {
    idle: {
      on: {
        "work.asked": {
          actions: [
            { type: "do.work", params: { name: "first" } },
            { type: "tell.peer", params: { event: { type: "work.told" } } },
            { type: "do.work", params: { name: "second" } },
          ],
        },
        "work.told": { actions: { type: "do.work", params: { name: "told" } } },
        "store.asked": {
          target: "storing",
          actions: [
            { type: "do.work", params: { name: "before" } },
            { type: "store.value", params: { value: 1 } },
          ],
        },
        "badly.asked": {
          actions: [
            { type: "store.value", params: { value: 1 } },
            { type: "do.work", params: { name: "too soon" } },
          ],
        },
        "guard.broken": { guard: "throwing", target: "ended" },
        "timer.armed": { actions: { type: "timer.start", params: { timer: "t", ms: 100 } } },
        "timer.fired": { actions: { type: "do.work", params: { name: "fired" } } },
        "end.asked": { target: "ended" },
      },
    },
    storing: {
      on: { "value.stored": { target: "idle", actions: { type: "do.work", params: { name: "stored" } } } },
    },
    ended: { type: "final" },
  },
});

function world(handlers: Partial<Record<keyof ToyEffects, (params: never) => unknown>> = {}) {
  const log: string[] = [];
  const steps: Step[] = [];
  const unhandled: string[] = [];
  const crashes: unknown[] = [];
  const clock = new ManualClock();
  let answer: (event: MachineEvent) => void = () => {};
  let fail: (error: unknown) => void = () => {};
  const host = new Host<Toys>({
    clock,
    observe: (step) => steps.push(step),
    onUnhandled: (actor, event, state) => unhandled.push(`${actor} ${event.type} in ${state}`),
    onCrash: (error) => crashes.push(error),
  });
  const define = (
    id: string,
    more: Partial<ActorDefinition<string, Toy>> = {},
  ): ActorDefinition<string, Toy> => ({
    id,
    machine: toyMachine,
    input: undefined,
    handlers: {
      "do.work": ({ name }: { name: string }) => {
        log.push(`${id}: ${name}`);
      },
      "store.value": () =>
        new Promise<MachineEvent>((resolve, reject) => {
          log.push(`${id}: storing`);
          answer = resolve;
          fail = reject;
        }),
      ...(handlers as Record<string, never>),
    },
    ...more,
  });
  return {
    host,
    log,
    steps,
    unhandled,
    crashes,
    clock,
    define,
    answer: async (event: MachineEvent) => {
      answer(event);
      await settled();
    },
    fail: async (error: unknown) => {
      fail(error);
      await settled();
    },
  };
}

const take = (type: string): MachineEvent => ({ type });

describe("the order of effects", () => {
  it("hands them out as the machine names them, and tells siblings afterwards (H1, H4)", () => {
    const { host, log, define } = world();
    host.start(define("peer"));
    host.start(define("a"));
    host.send("a", take("work.asked"));
    expect(log).toEqual(["a: first", "a: second", "peer: told"]);
  });

  it("takes one event at a time: what a handler sends waits for the end of the transition (H1)", () => {
    const log: string[] = [];
    const { host, define } = world({
      "do.work": ({ name }: { name: string }) => {
        log.push(name);
        if (name === "first") host.send("a", take("work.told"));
      },
    });
    host.start(define("a", { siblings: () => [] }));
    host.send("a", take("work.asked"));
    expect(log).toEqual(["first", "second", "told"]);
  });

  it("tells every sibling that the definition names, and none that is gone", () => {
    const { host, log, define } = world();
    host.start(define("a", { siblings: (name) => [`${name}/1`, `${name}/2`, `${name}/3`] }));
    host.start(define("peer/1"));
    host.start(define("peer/3"));
    host.send("a", take("work.asked"));
    expect(log).toEqual(["a: first", "a: second", "peer/1: told", "peer/3: told"]);
    expect(host.idsOf("peer")).toEqual(["peer/1", "peer/3"]);
  });

  it("publishes each step that changed or ordered something", () => {
    const { host, steps, define } = world();
    host.start(define("a", { siblings: () => [] }));
    host.send("a", take("work.told"));
    host.send("a", take("end.asked"));
    expect(steps.map(({ event, from, to, effects }) => [event.type, from, to, effects.length])).toEqual([
      ["actor.started", "", "idle", 0],
      ["work.told", "idle", "idle", 1],
      ["end.asked", "idle", "ended", 0],
    ]);
  });
});

describe("holding an actor", () => {
  it("takes the outcome first, then what came meanwhile, in order (H2)", async () => {
    const { host, log, define, answer } = world();
    host.start(define("a"));
    host.send("a", take("store.asked"));
    host.send("a", take("work.told"));
    host.send("a", take("timer.fired"));
    expect(log).toEqual(["a: before", "a: storing"]);
    await answer(take("value.stored"));
    expect(log.slice(2)).toEqual(["a: stored", "a: told", "a: fired"]);
  });

  it("holds again when a waiting event stores again", async () => {
    const { host, log, define, answer } = world();
    host.start(define("a"));
    for (const type of ["store.asked", "store.asked", "work.told"]) host.send("a", take(type));
    await answer(take("value.stored"));
    expect(log.slice(2)).toEqual(["a: stored", "a: before", "a: storing"]);
    await answer(take("value.stored"));
    expect(log.slice(5)).toEqual(["a: stored", "a: told"]);
  });

  it("stops one actor, never the others (H3)", async () => {
    const { host, log, define } = world();
    host.start(define("a"));
    host.start(define("b", { siblings: () => [] }));
    host.send("a", take("store.asked"));
    host.send("b", take("work.asked"));
    expect(log.slice(2)).toEqual(["b: first", "b: second"]);
  });

  it("refuses an effect behind one that must be durable first (H2, P12)", () => {
    const { host, crashes, define } = world();
    host.start(define("a"));
    host.send("a", take("badly.asked"));
    expect(String(crashes[0])).toContain('"store.value" must be the last effect');
  });

  it("brings nothing after it was closed", async () => {
    const { host, log, define, answer } = world();
    host.start(define("a"));
    host.send("a", take("store.asked"));
    host.close();
    await answer(take("value.stored"));
    host.send("a", take("work.told"));
    expect(log).toEqual(["a: before", "a: storing"]);
    expect(host.has("a")).toBe(false);
  });

  it("starts nothing after it was closed: nothing would end it", () => {
    const { host, log, define } = world();
    host.close();
    host.start(define("a"));
    host.send("a", take("work.asked"));
    expect(host.has("a")).toBe(false);
    expect(log).toEqual([]);
  });
});

describe("timers", () => {
  it("fire once, at their time", () => {
    const { host, log, clock, define } = world();
    host.start(define("a"));
    host.send("a", take("timer.armed"));
    clock.advance(99);
    expect(log).toEqual([]);
    clock.advance(1);
    clock.advance(1000);
    expect(log).toEqual(["a: fired"]);
  });

  it("started again under the same name count from there", () => {
    const { host, log, clock, define } = world();
    host.start(define("a"));
    host.send("a", take("timer.armed"));
    clock.advance(60);
    host.send("a", take("timer.armed"));
    clock.advance(60);
    expect(log).toEqual([]);
    clock.advance(40);
    expect(log).toEqual(["a: fired"]);
  });

  it("end with their actor", () => {
    const { host, log, clock, define } = world();
    host.start(define("a"));
    host.send("a", take("timer.armed"));
    host.send("a", take("end.asked"));
    expect(clock.pending).toEqual([]);
    clock.advance(1000);
    expect(log).toEqual([]);
  });
});

describe("ends and faults", () => {
  it("forgets an actor whose machine is done; what is sent to it is dropped", () => {
    const { host, log, define, unhandled } = world();
    host.start(define("a"));
    host.send("a", take("end.asked"));
    expect(host.has("a")).toBe(false);
    expect(host.state("a")).toBe("");
    host.send("a", take("work.told"));
    expect(log).toEqual([]);
    expect(unhandled).toEqual([]);
  });

  it("names an event that the active state does not know", () => {
    const { host, define, unhandled, steps } = world();
    host.start(define("a"));
    host.send("a", take("value.stored"));
    expect(unhandled).toEqual(["a value.stored in idle"]);
    expect(steps).toHaveLength(1);
    expect(host.has("a")).toBe(true);
  });

  it("closes when a handler throws: the effects behind it are not done", () => {
    const log: string[] = [];
    const { host, crashes, define } = world({
      "do.work": ({ name }: { name: string }) => {
        log.push(name);
        throw new Error("a broken handler");
      },
    });
    host.start(define("a", { siblings: () => [] }));
    host.send("a", take("work.asked"));
    host.send("a", take("work.told"));
    expect(log).toEqual(["first"]);
    expect(crashes).toHaveLength(1);
    expect(host.has("a")).toBe(false);
  });

  it("closes when a promise is rejected", async () => {
    const { host, crashes, define, fail } = world();
    host.start(define("a"));
    host.send("a", take("store.asked"));
    await fail(new Error("a broken store"));
    expect(crashes).toEqual([new Error("a broken store")]);
    expect(host.has("a")).toBe(false);
  });

  it("refuses an effect without a handler and an id that is taken", () => {
    const { host, crashes, define } = world();
    host.start(define("a", { handlers: {}, siblings: () => [] }));
    expect(() => host.start(define("a"))).toThrow("actor a exists already");
    host.send("a", take("work.asked"));
    expect(String(crashes[0])).toContain('no handler for effect "do.work"');
  });
});

describe("timers and holds", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** A standby watches holder `a` at revision 10; the store then answers nothing until `answerRead`. */
  async function watchingStandby() {
    const reads: ((event: Seen) => void)[] = [];
    const writes: unknown[] = [];
    const clock = new ManualClock();
    const host = new Host({
      clock,
      onCrash: (error) => {
        throw error;
      },
    });
    host.start({
      id: "lease",
      machine: leaseMachine,
      input: { holder: "b", leaseMs: 2000 },
      handlers: {
        "read.lease": () => new Promise<Seen>((resolve) => reads.push(resolve)),
        "store.lease": (params) => {
          writes.push(params);
          return new Promise(() => {});
        },
        "begin.leadership": () => {},
        "end.leadership": () => {},
        "end.candidature": () => {},
      },
    });
    const answerRead = async (revision: number) => {
      reads.shift()?.({
        type: "lease.seen",
        seen: { revision, holder: "a", released: false },
      });
      await settled();
    };
    await answerRead(10);
    return { clock, host, writes, answerRead };
  }

  it("a lease that stays unchanged for longer than it lasts is taken over", async () => {
    const { clock, writes, answerRead } = await watchingStandby();
    for (let at = 0; at < 2000; at += 500) {
      clock.advance(500);
      await answerRead(10);
    }
    expect(writes).toEqual([]);
    clock.advance(200);
    await answerRead(10);
    expect(writes).toHaveLength(1);
  });

  // Known fault of the host: a timer that fires while its actor is held waits among the deferred events, and neither
  // `timer.cancel` nor a new `timer.start` of that name takes it back. Here the store answers after the take-over time,
  // with a lease that was renewed: the old `timer.fired takeover` makes the standby take it over at once (L2).
  it("a timer that is started again while its actor is held does not fire for its former start", async () => {
    const { clock, host, writes, answerRead } = await watchingStandby();
    clock.advance(500);
    expect(host.state("lease")).toBe("following.reading");
    clock.advance(1800);
    await answerRead(11);
    await answerRead(11);
    expect(writes).toEqual([]);
    expect(host.state("lease")).toBe("following.pausing");
  });

  // Known fault of the host: outside of an event, `start` does not mark the host as running.
  it("what a handler of the first state sends waits for the other effects of that state (H1)", () => {
    const log: string[] = [];
    const machine = setup({
      types: {} as { events: { type: "work.told" } },
      actions: { ...declareEffects<Pick<ToyEffects, "do.work">>({ "do.work": true }) },
    }).createMachine({
      id: "eager",
      options: { maxIterations: 10 },
      initial: "working",
      states: {
        working: {
          entry: [
            { type: "do.work", params: { name: "first" } },
            { type: "do.work", params: { name: "second" } },
          ],
          on: { "work.told": { actions: { type: "do.work", params: { name: "told" } } } },
        },
      },
    });
    const host = new Host<Toys>({ clock: new ManualClock(), onCrash: () => {} });
    host.start({
      id: "a",
      machine,
      input: undefined,
      handlers: {
        "do.work": ({ name }: { name: string }) => {
          log.push(name);
          if (name === "first") host.send("a", take("work.told"));
        },
      },
    });
    expect(log).toEqual(["first", "second", "told"]);
  });

  // Known fault of the host: it does not observe the errors of the XState actor, so XState throws them once more from a
  // timer of its own, which ends the process behind the back of `onCrash`.
  it("a machine that throws is told to onCrash and nowhere else", () => {
    const rethrown = vi.spyOn(globalThis, "setTimeout").mockImplementation((() => 0) as never);
    const { host, crashes, define } = world();
    host.start(define("a"));
    host.send("a", take("guard.broken"));
    expect(String(crashes[0])).toContain("a broken guard");
    expect(host.has("a")).toBe(false);
    expect(rethrown).not.toHaveBeenCalled();
  });
});
