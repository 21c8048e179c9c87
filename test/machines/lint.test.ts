import { describe, expect, test } from "vitest";
import { and, assign, raise, setup } from "xstate";
import { discoverMachines } from "./discover.ts";
import { lint, RULES, type Rule } from "./lint.ts";

const machines = await discoverMachines();

describe("every machine of the engine keeps the rules", () => {
  test("there are machines", () => {
    expect(machines.length).toBeGreaterThan(0);
  });

  test.each(machines)("$exportName", ({ machine }) => {
    const findings = lint(machine).map(
      ({ rule, where, what }) => `${where}: ${what} (${rule}: ${RULES[rule]})`,
    );
    expect(findings).toEqual([]);
  });
});

const declared = setup({
  types: {} as { context: { count: number }; events: { type: "work.started" } | { type: "work.ended" } },
  actions: {
    "send.work": (_, _params: { id: number }) => {},
    count: assign({ count: ({ context }) => context.count + 1 }),
  },
  guards: { ready: () => true, allowed: () => true },
});

/** A machine that keeps every rule, to be spoiled in one place. */
function machineOf(
  working: object,
  more: { readonly setup?: object; readonly options?: object; readonly idle?: object } = {},
) {
  const { actions = {} } = (more.setup ?? {}) as { actions?: object };
  const machine = declared.createMachine({
    id: "toy",
    options: { maxIterations: 10, ...more.options },
    context: { count: 0 },
    initial: "idle",
    states: {
      idle: { description: "Nothing to do.", on: { "work.started": { target: "working" } }, ...more.idle },
      working: { description: "Working.", ...working } as object,
      ended: { type: "final" },
    },
  });
  return machine.provide({ actions: actions as never });
}

describe("each rule fires", () => {
  const on = (transition: object, event = "work.ended") => machineOf({ on: { [event]: transition } });
  const spoiled: Record<Rule, ReturnType<typeof machineOf>> = {
    "inline-action": on({ actions: () => {} }),
    "inline-guard": on({ guard: () => true, target: "ended" }),
    "undeclared-action": on({ actions: { type: "send.nothing" } }),
    "undeclared-guard": on({ guard: "unheard", target: "ended" }),
    "built-in-action": on({ actions: raise({ type: "work.started" }) }),
    "effect-body": machineOf({}, { setup: { actions: { "send.work": () => Date.now() } } }),
    "effect-name": machineOf({}, { setup: { actions: { sendWork: () => {} } } }),
    "assign-name": machineOf({}, { setup: { actions: { "count.work": assign({ count: 1 }) } } }),
    "event-name": on({ target: "ended" }, "endWork"),
    invoke: machineOf({ invoke: { src: "child" } }),
    after: machineOf({ after: { 1000: "ended" } }),
    wildcard: on({ target: "ended" }, "*"),
    "max-iterations": machineOf({}, { options: { maxIterations: undefined } }),
    description: machineOf({}, { idle: { description: undefined } }),
  };

  test.each(Object.entries(spoiled))("%s", (rule, machine) => {
    expect(lint(machine).map((finding) => finding.rule)).toContain(rule);
  });

  test("and none in a machine that keeps them", () => {
    const clean = on([
      {
        guard: and(["ready", { type: "allowed" }]),
        target: "ended",
        actions: { type: "send.work", params: { id: 1 } },
      },
      { actions: "count" },
    ]);
    expect(lint(clean)).toEqual([]);
  });

  test("a raise() or sendTo() that setup() declares is found as well", () => {
    const machine = machineOf({}, { setup: { actions: { restart: raise({ type: "work.started" }) } } });
    expect(lint(machine)).toEqual([{ rule: "built-in-action", where: "toy", what: "restart is raise()" }]);
  });
});
