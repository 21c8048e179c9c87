/** The checker checks itself: it finds what was seeded, counts what a plain search counts, and keeps its own rules. */
import { describe, expect, test } from "vitest";
import { actorIn, composeProcess } from "../machine-process.ts";
import type { Effect, ProcessModel, View } from "../process.ts";
import {
  type CheckOptions,
  type CheckResult,
  check,
  type Invariant,
  type StepInvariant,
  summary,
} from "./checker.ts";
import { countStates } from "./reference-search.ts";
import { type Bug, roundMachine, type SinkDurable, toyModel } from "./toy.ts";

const SINKS = ["s1", "s2"];

const committedOnlyAfterDecision: Invariant = (view) => {
  const { completed } = view.durable<{ completed: number }>("coordinator");
  for (const sink of SINKS) {
    const phases = Object.entries(view.durable<SinkDurable>(sink).transactions);
    const early = phases.find(([id, phase]) => phase === "committed" && Number(id) > completed);
    if (early) return `${sink} committed checkpoint ${early[0]}, which is not decided`;
  }
  return undefined;
};

const allOrNothing: Invariant = (view) => {
  const [first, second] = SINKS.map((sink) => view.durable<SinkDurable>(sink).transactions);
  const ends = (id: string) => [first?.[Number(id)], second?.[Number(id)]];
  const torn = Object.keys(first ?? {}).find(
    (id) => ends(id).includes("committed") && ends(id).includes("aborted"),
  );
  return torn && `checkpoint ${torn} is committed by one sink and aborted by another`;
};

const commitSentAfterDecision: StepInvariant = (before, _after, { process, effects }) => {
  if (process !== "coordinator") return undefined;
  let { completed } = before.durable<{ completed: number }>("coordinator");
  for (const effect of effects) {
    if (effect.kind === "store" && "patch" in effect && "completed" in effect.patch)
      completed = Number(effect.patch.completed);
    if (sends(effect, "commit.received") && checkpointOf(effect) > completed)
      return "commit sent before the decision";
  }
  return undefined;
};

function sends(effect: Effect, type: string): boolean {
  return effect.kind === "send" && effect.message.type === type;
}

function checkpointOf(effect: Effect): number {
  return effect.kind === "send" && "checkpointId" in effect.message ? Number(effect.message.checkpointId) : 0;
}

function checkToy(bug?: Bug, more: Partial<CheckOptions> = {}): CheckResult {
  return check({
    processes: toyModel({ sinks: SINKS, checkpointsMax: 2, ...(bug && { bug }) }),
    budgets: { crashes: 1 },
    invariants: { committedOnlyAfterDecision, allOrNothing },
    ...more,
  });
}

describe("a two-phase commit of composed machines", () => {
  test("holds with a crash anywhere", () => {
    const result = checkToy(undefined, {
      budgets: { crashes: 2 },
      stepInvariants: { commitSentAfterDecision },
    });
    expect(result.violation).toBeUndefined();
    expect(result.cutOff).toBe(false);
    expect(result.states).toBeGreaterThan(10_000);
  });

  test.each<[Bug, string]>([
    ["late-prepare", "allOrNothing"],
    ["commit-before-decision", "committedOnlyAfterDecision"],
    ["no-fencing", "allOrNothing"],
    ["reused-id", "allOrNothing"],
  ])("%s is found", (bug, invariant) => {
    expect(checkToy(bug).violation?.invariant).toBe(invariant);
  });

  test("a step invariant finds the early commit before it does any harm", () => {
    const steps = checkToy("commit-before-decision", { stepInvariants: { commitSentAfterDecision } });
    expect(steps.violation?.invariant).toBe("commitSentAfterDecision");
    expect(steps.depth).toBeLessThan(checkToy("commit-before-decision").depth);
  });

  test("the counterexample is a story", () => {
    const story = checkToy("commit-before-decision").violation!.trace;
    expect(story.join("\n")).toMatchInlineSnapshot(`
      "coordinator boots   down -> [coordinator idle]
        ! store {"generation":1}
        ! send s1 restore.received generation=1 completed=0
        ! send s2 restore.received generation=1 completed=0
      coordinator meets checkpoint.requested   [coordinator idle] -> [coordinator collecting, round collecting]
        ! send s1 prepare.received checkpointId=1 generation=1 completed=0
        ! send s2 prepare.received checkpointId=1 generation=1 completed=0
        ! store {"checkpointId":1}
      s1 boots   down -> [sink serving]
      s2 boots   down -> [sink serving]
      s1 receives prepare.received checkpointId=1 generation=1 completed=0   [sink serving]
        ! store {"generation":1,"transactions":{"1":"prepared"}}
        ! send coordinator sink.prepared generation=1 checkpointId=1 sink="s1"
      s2 receives prepare.received checkpointId=1 generation=1 completed=0   [sink serving]
        ! store {"generation":1,"transactions":{"1":"prepared"}}
        ! send coordinator sink.prepared generation=1 checkpointId=1 sink="s2"
      coordinator receives sink.prepared generation=1 checkpointId=1 sink="s1"   [coordinator collecting, round collecting]
      coordinator receives sink.prepared generation=1 checkpointId=1 sink="s2" (crashes after 1 of 3 effects)   [coordinator collecting, round collecting] -> down
        ! send s1 commit.received generation=1 checkpointId=1
      s1 receives commit.received generation=1 checkpointId=1   [sink serving]
        ! store {"generation":1,"transactions":{"1":"committed"}}"
    `);
  });

  test("a plain search counts the same states", () => {
    const model = toyModel({ sinks: SINKS, checkpointsMax: 1 });
    expect(countStates(model, 1)).toBe(checkToy(undefined, { processes: model }).states);
  });

  test("a search that ends early says so", () => {
    const result = checkToy(undefined, { maxStates: 500 });
    expect(result).toMatchObject({ cutOff: true, states: 500 });
    expect(summary(result)).toContain("cut off");
  });
});

/* Processes of a few lines, one for each rule of the network, of crashes and of budgets. */

interface Counting {
  readonly boots: number;
}

/** Counts the events it takes, up to three; its durable state counts its boots. */
function counter(more: Partial<ProcessModel<number, Counting>> = {}): ProcessModel<number, Counting> {
  return {
    id: "counter",
    durable: { boots: 0 },
    boot: ({ boots }) => [{ state: 0, effects: [{ kind: "store", patch: { boots: boots + 1 } }] }],
    step: (state) => (state < 3 ? [{ state: state + 1, effects: [] }] : []),
    key: String,
    ...more,
  };
}

/** Sends the effects when it boots. */
function sender(...effects: readonly Effect[]): ProcessModel<string> {
  return { id: "sender", durable: {}, boot: () => [{ state: "up", effects }], step: () => [], key: String };
}

const hello = { kind: "send", to: "counter", message: { type: "hello.said" } } as const;

/** Whether the counter can have counted so far, in the life that follows `boots` boots. */
function canReach(
  count: number,
  processes: readonly ProcessModel[],
  options: Partial<CheckOptions> = {},
  boots = 1,
): boolean {
  const reached: Invariant = (view) => {
    const arrived = view.local("counter") === count && view.durable<Counting>("counter").boots === boots;
    return arrived ? "reached" : undefined;
  };
  return check({ processes, invariants: { reached }, ...options }).violation !== undefined;
}

describe("messages", () => {
  test("arrive any number of times", () => {
    expect(canReach(3, [sender(hello), counter()])).toBe(true);
  });

  test("sent once arrive once, sent twice arrive twice", () => {
    const once = { ...hello, once: true };
    expect(canReach(1, [sender(once), counter()])).toBe(true);
    expect(canReach(2, [sender(once), counter()])).toBe(false);
    expect(canReach(2, [sender(once, once), counter()])).toBe(true);
    expect(canReach(3, [sender(once, once), counter()])).toBe(false);
  });

  test("survive a crash of their receiver unless they are volatile", () => {
    // The sender runs first and only once, so that nothing is sent after the crash.
    const first = (effect: Effect) => ({ ...sender(effect), starts: "first" as const });
    const eager = counter({ starts: "first" });
    const crash = { budgets: { "crashes.counter": 1 } };
    expect(canReach(1, [first(hello), eager], crash, 2)).toBe(true);
    expect(canReach(1, [first({ ...hello, volatile: true }), eager], crash, 2)).toBe(false);
    expect(canReach(1, [first({ ...hello, volatile: true }), eager], crash, 1)).toBe(true);
  });

  test("are taken even if the receiver crashes before it does anything", () => {
    const relay = counter({
      step: (state) => [{ state: state + 1, effects: [{ kind: "store", patch: { done: true } }] }],
    });
    const result = check({
      processes: [
        { ...sender({ ...hello, once: true }), starts: "first" },
        { ...relay, starts: "first" },
      ],
      budgets: { "crashes.counter": 1 },
      invariants: {},
      stepInvariants: {
        consumed: (_before, _after, { kind, process, effects }) =>
          process === "counter" && kind === "receives" && effects.length === 0 ? "taken and lost" : undefined,
      },
    });
    expect(result.violation?.invariant).toBe("consumed");
  });
});

describe("crashes and environment", () => {
  test("nothing crashes without a budget, nor a process that never does", () => {
    expect(canReach(0, [counter()], {}, 2)).toBe(false);
    expect(canReach(0, [counter()], { budgets: { crashes: 1 } }, 2)).toBe(true);
    expect(canReach(0, [counter()], { budgets: { crashes: 1 } }, 3)).toBe(false);
    expect(canReach(0, [counter({ neverCrashes: true })], { budgets: { crashes: 1 } }, 2)).toBe(false);
    expect(canReach(0, [counter()], { budgets: { crashes: 5, "crashes.counter": 1 } }, 3)).toBe(false);
  });

  test("an environment event is paid from its budget", () => {
    const ticking = counter({ environment: () => [{ type: "clock.ticked" }], cost: () => "ticks" });
    expect(canReach(2, [ticking], { budgets: { ticks: 2 } })).toBe(true);
    expect(canReach(3, [ticking], { budgets: { ticks: 2 } })).toBe(false);
    expect(() => canReach(1, [ticking])).toThrow("no budget 'ticks'");
  });

  test("two instances may run side by side, or one of them never", () => {
    const both: Invariant = (view) =>
      view.local("a") !== undefined && view.local("b") !== undefined ? "both" : undefined;
    const neither: Invariant = (view) =>
      view.local("a") === undefined && view.local("b") !== undefined ? "b" : undefined;
    const processes = [counter({ id: "a" }), counter({ id: "b" })];
    expect(check({ processes, invariants: { both } }).violation).toBeDefined();
    expect(check({ processes, invariants: { neither } }).violation).toBeDefined();
  });

  test("the goal must stay reachable", () => {
    const invariants = {};
    const ticking = counter({ environment: () => [{ type: "clock.ticked" }] });
    const goal = (count: number) => (view: View) => view.local("counter") === count;
    expect(check({ processes: [ticking], invariants, goal: goal(3) }).violation).toBeUndefined();
    expect(check({ processes: [ticking], invariants, goal: goal(2) }).violation?.invariant).toBe("goal");
  });
});

describe("composed machines", () => {
  const round = (route: Parameters<typeof composeProcess>[0]["route"], more = {}) =>
    composeProcess({
      id: "round",
      durable: { done: 0 },
      actors: () => ({
        round: {
          machine: roundMachine,
          input: { checkpointId: 1, generation: 1, completed: 0, sinks: ["s1"] },
        },
      }),
      route,
      ...more,
    });
  const states = (process: ProcessModel) => {
    const seen = new Set<string>();
    const shown: Invariant = (view) => {
      const { value } = actorIn(view, "round", "round") ?? {};
      seen.add(`${String(value)} ${view.durable<{ done: number }>("round").done}`);
      return undefined;
    };
    check({ processes: [process], invariants: { shown } });
    return [...seen].sort();
  };

  test("a started timer may fire, a canceled one not", () => {
    const quiet = ["send.prepare", "tell.coordinator"];
    const armed = round(({ type }) => (quiet.includes(type) ? [] : undefined));
    expect(states(armed)).toEqual(["aborted 0", "collecting 0", "undefined 0"]);
    const canceled = round(({ type }) =>
      type === "timer.start"
        ? [
            { kind: "await", id: "x", events: [{ type: "timer.fired" }] },
            { kind: "cancel", id: "x" },
          ]
        : [],
    );
    expect(states(canceled)).toEqual(["collecting 0", "undefined 0"]);
  });

  test("every choice of a route is explored, and a failed effect drops the rest", () => {
    const outcomes = round(({ type }, _actor, choose) => {
      if (type !== "send.prepare")
        return type === "timer.start" ? [{ kind: "store", patch: { done: 9 } }] : [];
      const outcome = choose("stored", "failed", "unknown");
      if (outcome === "stored") return [{ kind: "store", patch: { done: 1 } }];
      return outcome === "failed"
        ? [{ kind: "discard" }]
        : [{ kind: "store", patch: { done: 2 } }, { kind: "discard" }];
    });
    expect(states(outcomes)).toEqual(["collecting 0", "collecting 2", "collecting 9", "undefined 0"]);
  });

  test("an effect without a route is an error", () => {
    expect(() => states(round(() => undefined))).toThrow("round: no route for effect 'send.prepare'");
  });

  test("other events may come between what actors tell each other, if asked for", () => {
    const checkWaiting = (lettersWaitingMax: number) =>
      checkToy(undefined, {
        processes: toyModel({ sinks: SINKS, checkpointsMax: 1, lettersWaitingMax }),
        budgets: {},
      });
    const together = checkWaiting(0);
    const apart = checkWaiting(2);
    expect(apart.violation).toBeUndefined();
    expect(apart.states).toBeGreaterThan(together.states);
  });

  test("a model that grows without a bound is refused by name", () => {
    const endless = counter({
      step: (state) => [1, 2].map((digit) => ({ state: 2 * state + digit, effects: [] })),
    });
    const invariants = {};
    expect(() => check({ processes: [sender(hello), endless], invariants })).toThrow(
      "local states of counter",
    );
  });
});
