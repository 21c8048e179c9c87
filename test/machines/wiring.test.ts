/** The wiring is true: what machines tell each other in their traces is what its list of tells says. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { eventOf, inputOf, madeOf, receiversOf, tells, toldActors, wires } from "../../machines/wiring.ts";
import { discoverMachines } from "./discover.ts";

const TRACES = new URL("traces/", import.meta.url);

/** `<actor's role> <effect> <event>` of all that is told in the traces. */
function toldInTraces(): Set<string> {
  const told = new Set<string>();
  for (const path of readdirSync(TRACES, { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith(".txt")) continue;
    let role = "";
    for (const line of readFileSync(new URL(path, TRACES), "utf8").split("\n")) {
      const actor = /^(?:> )?([\w-]+)(?:\/\S*|@\S*)? {2}\S/.exec(line)?.[1];
      if (actor !== undefined) role = actor;
      const [, effect, event] = /^ {2}! (tell\.\w+) .*event=\{type:([\w.]+)/.exec(line) ?? [];
      if (effect !== undefined) told.add(`${roleOf(role)} ${effect} ${event}`);
    }
  }
  return told;
}

/** Traces call a transaction by its sink, and a tracker by its place. */
function roleOf(actor: string): string {
  if (actor === "out" || actor === "sink-transaction") return "transaction";
  return actor === "tracker" ? "barrier-tracker" : actor;
}

describe("the wiring of machines", () => {
  test("lists exactly what the machines tell each other", () => {
    const listed = tells.flatMap(({ from, name, events }) =>
      events.map((event) => `${from} ${name} ${event}`),
    );
    expect([...toldInTraces()].sort()).toEqual(listed.sort());
  });

  test("names effects that the machines have, each wire under the name of its event", async () => {
    const machines = await discoverMachines();
    const effects = (role: string) =>
      machines.find(({ machine }) => roleOf(machine.id) === role)!.machine.implementations.actions;
    for (const [event, wire] of Object.entries(wires)) {
      expect(wire.event).toBe(event);
      expect(Object.keys(effects(wire.from))).toContain(wire.effect);
    }
    for (const { from, name } of tells) expect(Object.keys(effects(from))).toContain(name);
  });

  test("makes an event of what its wire carries and of facts, and of nothing else", () => {
    const params = { where: "map/0", reason: "broken", recoverable: true };
    expect(eventOf("failure.reported", params, { atMs: 5, chance: 0.5 })).toEqual({
      type: "failure.reported",
      recoverable: true,
      atMs: 5,
      chance: 0.5,
    });
    expect(madeOf(wires["generation.started"], { generation: 3, more: 1 })).toEqual({
      type: "generation.started",
      generation: 3,
    });
  });

  test("leads to one actor, to each of a role, or to the one that the event names", () => {
    const living = (role: string) => (role === "checkpoint" ? ["checkpoint/7", "checkpoint/8"] : []);
    expect(receiversOf("checkpoint.aborted", {}, living)).toEqual(["alignment", "subtask"]);
    expect(receiversOf("subtask.committed", {}, living)).toEqual(["checkpoint/7", "checkpoint/8", "job"]);
    expect(receiversOf("subtask.declined", { checkpointId: 8 }, living)).toEqual(["checkpoint/8"]);
    expect(toldActors("checkpointing", "tell.checkpoints", {}, living)).toEqual([
      "checkpoint/7",
      "checkpoint/8",
    ]);
    expect(toldActors("toy", "tell.peer", {}, living)).toEqual(["peer"]);
  });

  test("gives an actor what its start carries, and facts of the host", () => {
    const request = { request: "", reason: "periodic", savepoint: null } as const;
    const facts = { generation: 1, generations: [1], timeoutMs: 10, subtasks: ["map/0"] };
    expect(inputOf("checkpoint", { checkpointId: 7, request }, facts)).toEqual({
      checkpointId: 7,
      request,
      ...facts,
    });
  });
});
