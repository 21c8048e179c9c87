import { beforeEach, describe, expect, it } from "vitest";
import type { VertexPlan } from "../../../../machines/protocol.ts";
import type { ControlLink } from "../../../../src/control/link.ts";
import type { PingAnswer, WorkerRegistration } from "../../../../src/control/messages.ts";
import { createSubjects } from "../../../../src/dataflow/channel/subjects.ts";
import { NoRespondersError, RequestTimeoutError } from "../../../../src/errors.ts";
import { WorkerRegistry } from "../../../../src/runtime/leader/generations/worker-registry.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const subjects = createSubjects();
const HEARTBEAT = { pingIntervalMs: 250, timeoutMs: 5000 };

const secretOf = (worker: string): string => `${worker}, and what no other process knows`;

/** How a worker takes a ping. */
type Manner = "answers" | "gone" | "hangs";

class World {
  readonly clock = new ManualClock();
  readonly manners = new Map<string, Manner>();
  readonly pings: { readonly worker: string; readonly atMs: number }[] = [];
  readonly lost: string[] = [];
  readonly answers: string[] = [];
  changes = 0;
  /** Whether the leader reaches the inboxes of workers. */
  inboxes = true;
  #registrations = 0;
  connectedForMs = 60_000;
  readonly functions = new Map<string, readonly string[]>();
  readonly registry: WorkerRegistry;

  constructor() {
    const link = {
      bus: { connectedForMs: () => this.connectedForMs },
      ask: (
        subject: string,
        message: unknown,
        _answers: unknown,
        timeoutMs: number,
        { secret }: { readonly secret: string },
      ) => this.#ask(subject, message, timeoutMs, secret),
    } as unknown as ControlLink;
    this.registry = new WorkerRegistry({
      link,
      subjects,
      clock: this.clock,
      timings: { secondProbeMs: 250, connectionSettledMs: 2000 },
      heartbeat: HEARTBEAT,
      functionsOn: (worker) => this.functions.get(worker) ?? [],
      onChange: () => this.changes++,
      onLost: (worker, reason) => this.lost.push(`${worker}: ${reason}`),
      onAnswer: (worker) => this.answers.push(worker),
    });
  }

  register(
    worker: string,
    slots = 1,
    manner: Manner = "answers",
    copies?: WorkerRegistration["copies"],
  ): void {
    this.manners.set(worker, manner);
    this.registry.register(this.registration(worker, slots, copies), {
      subject: subjects.workers(worker),
      answer: undefined,
    });
  }

  registration(worker: string, slots = 1, copies?: WorkerRegistration["copies"]): WorkerRegistration {
    return {
      type: "worker.register",
      job: "word-count",
      worker,
      codeFingerprint: "c1",
      slots,
      processId: 1,
      host: "here",
      storage: "memory",
      directory: null,
      secret: secretOf(worker),
      inbox: `_INBOX.${worker}`,
      copies,
      nth: this.#registrations++,
    };
  }

  async #ask(subject: string, message: unknown, timeoutMs: number, secret: string): Promise<PingAnswer> {
    expect(message).toEqual({ type: "worker.ping" });
    const isInbox = subject.startsWith("_INBOX.");
    const worker = [...this.manners.keys()].find((name) =>
      [subjects.workers(name), `_INBOX.${name}`].includes(subject),
    );
    this.pings.push({ worker: worker ?? "", atMs: this.clock.elapsedMs() });
    const sealed = worker !== undefined && secret === secretOf(worker);
    const manner = sealed && (this.inboxes || !isInbox) ? this.manners.get(worker) : "gone";
    if (manner === "gone") throw new NoRespondersError("nobody");
    if (manner === "hangs") {
      await new Promise<void>((resolve) => this.clock.after(timeoutMs, resolve));
      throw new RequestTimeoutError("no answer");
    }
    return { worker: worker!, generations: [1], subtasks: [], troubles: [] };
  }
}

const vertex = (id: string, parallelism: number): VertexPlan => ({ id, parallelism, operators: [] });

describe("placement (P5)", () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it("puts subtask i of every vertex into slot i, dealt round robin over the workers", () => {
    world.register("b", 2);
    world.register("a", 2);
    expect(world.registry.slots).toBe(4);
    expect(world.registry.place([vertex("lines", 1), vertex("count", 3)], {}, "i")).toEqual({
      "lines/0": "a",
      "count/0": "a",
      "count/1": "b",
      "count/2": "a",
    });
  });

  it("fills up the larger worker when the smaller one has no slot left", () => {
    world.register("a", 1);
    world.register("b", 3);
    expect(world.registry.place([vertex("count", 4)], {}, "i")).toEqual({
      "count/0": "a",
      "count/1": "b",
      "count/2": "b",
      "count/3": "b",
    });
  });

  it("needs as many slots as the widest vertex has subtasks", () => {
    world.register("a", 2);
    expect(world.registry.place([vertex("count", 3)], {}, "i")).toBeUndefined();
    expect(world.registry.place([vertex("lines", 2), vertex("count", 2)], {}, "i")).toBeDefined();
  });

  it("leaves where they are whom no failure has hit, and counts their slots", () => {
    world.register("a", 1);
    world.register("b", 1);
    const vertices = [vertex("lines", 2), vertex("count", 1)];
    const kept = { "count/0": "b" };
    expect(world.registry.place(vertices, kept, "i")).toEqual({
      "lines/0": "b",
      "lines/1": "a",
      "count/0": "b",
    });
    expect(world.registry.place([vertex("lines", 3)], { "lines/2": "b" }, "i")).toBeUndefined();
  });

  it("takes a worker that is avoided where no other one has a slot", async () => {
    world.register("a", 2);
    world.register("b", 1);
    world.registry.avoid("a");
    expect(world.registry.place([vertex("count", 1)], {}, "i")).toEqual({ "count/0": "b" });
    expect(world.registry.place([vertex("count", 2)], {}, "i")).toEqual({ "count/0": "b", "count/1": "a" });
    world.registry.lose("a", "its process has ended");
    world.register("a", 2);
    expect(world.registry.place([vertex("count", 1)], {}, "i")).toEqual({ "count/0": "a" });
  });

  it("gives a worker the subtasks of whose state it has copies, as far as its slots go (P102)", () => {
    world.register("a", 1);
    world.register("b", 1, "answers", { i: [0], other: [1] });
    world.register("c", 1, "answers", { i: [0, 2] });
    expect(world.registry.place([vertex("count", 3)], {}, "i")).toEqual({
      "count/0": "b",
      "count/1": "a",
      "count/2": "c",
    });
    // Those of another incarnation count for nothing.
    expect(world.registry.place([vertex("count", 1)], {}, "new")).toEqual({ "count/0": "a" });
    world.registry.avoid("b");
    expect(world.registry.place([vertex("count", 1)], {}, "i")).toEqual({ "count/0": "c" });
  });

  it("does not depend on the order of registration", () => {
    const other = new World();
    for (const name of ["c", "a", "b"]) world.register(name);
    for (const name of ["b", "c", "a"]) other.register(name);
    expect(other.registry.place([vertex("count", 3)], {}, "i")).toEqual(
      world.registry.place([vertex("count", 3)], {}, "i"),
    );
  });
});

describe("a registration (P69, P70)", () => {
  let world: World;
  beforeEach(() => {
    world = new World();
    world.manners.set("a", "answers");
  });

  it("is believed when the worker answers, on its inbox if it is reached there", async () => {
    expect(await world.registry.reach(world.registration("a"))).toMatchObject({ subject: "_INBOX.a" });
    world.inboxes = false;
    expect(await world.registry.reach(world.registration("a"))).toMatchObject({
      subject: subjects.workers("a"),
    });
  });

  it("is not believed when no worker answers, or answers under another seal", async () => {
    world.manners.set("gone", "gone");
    expect(await world.registry.reach(world.registration("gone"))).toBeUndefined();
    expect(await world.registry.reach(world.registration("never-there"))).toBeUndefined();
    const forged = { ...world.registration("a"), secret: "the secret of a stranger", slots: 30_000 };
    expect(await world.registry.reach(forged)).toBeUndefined();
    world.register("a");
    expect(await world.registry.reach(forged)).toBeUndefined();
    expect(await world.registry.reach(world.registration("a"))).toMatchObject({
      subject: subjects.workers("a"),
    });
  });

  it("of which many come at once costs one question for each worker", async () => {
    const registration = world.registration("a");
    await Promise.all(Array.from({ length: 50 }, () => world.registry.reach(registration)));
    expect(world.pings).toHaveLength(1);
  });

  it("that comes again is no sign of life, a new one is", async () => {
    const old = world.registration("a");
    world.registry.register(old, { subject: "_INBOX.a", answer: undefined });
    await world.clock.pass(300);
    world.manners.set("a", "hangs");
    for (let i = 0; i < 4; i++) {
      await world.clock.pass(1000);
      world.registry.register(world.registration("a"), { subject: "_INBOX.a", answer: undefined });
    }
    for (let i = 0; i < 4; i++) {
      await world.clock.pass(1000);
      expect(world.lost).toEqual([]);
      world.registry.register(old, { subject: "_INBOX.a", answer: undefined });
    }
    await world.clock.pass(3000);
    expect(world.lost).toEqual(["a: no answer for 5000 ms: the process hangs or is cut off"]);
  });

  it("is what the seal for the worker is known from, also when it is lost", () => {
    expect(world.registry.secretOf("a")).toBeUndefined();
    world.register("a");
    world.registry.lose("a", "its process has ended");
    expect(world.registry.secretOf("a")).toBe(secretOf("a"));
  });
});

describe("life and death of a worker (P28)", () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it("is lost within a second when it dies with a ping on its way, which gets no answer", async () => {
    world.register("a");
    await world.clock.pass(249);
    world.manners.set("a", "hangs");
    await world.clock.pass(1);
    world.manners.set("a", "gone");
    await world.clock.pass(1000);
    expect(world.lost).toEqual(["a: nothing answers to its name: the process is gone"]);
  });

  it("is pinged at once and then at the interval", async () => {
    world.register("a");
    await world.clock.pass(1000);
    expect(world.pings.map(({ atMs }) => atMs)).toEqual([0, 250, 500, 750, 1000]);
    expect(world.answers).toHaveLength(5);
    expect(world.registry.list()[0]?.answer).toMatchObject({ worker: "a", generations: [1] });
    expect(world.lost).toEqual([]);
  });

  it("is lost when nothing answers to its name, twice, the second time 250 ms later", async () => {
    world.register("a");
    await world.clock.pass(300);
    world.manners.set("a", "gone");
    await world.clock.pass(400);
    expect(world.lost).toEqual([]);
    await world.clock.pass(100);
    expect(world.lost).toEqual(["a: nothing answers to its name: the process is gone"]);
    expect(world.registry.slots).toBe(0);
    expect(world.changes).toBe(2);
    const pings = world.pings.length;
    await world.clock.pass(5000);
    expect(world.pings).toHaveLength(pings);
  });

  it("is not lost when the second probe reaches it", async () => {
    world.register("a", 1, "gone");
    await world.clock.pass(200);
    world.manners.set("a", "answers");
    await world.clock.pass(300);
    world.manners.set("a", "gone");
    await world.clock.pass(200);
    expect(world.lost).toEqual([]);
  });

  it("is not declared dead by a leader whose own connection is fresh", async () => {
    world.register("a", 1, "gone");
    world.connectedForMs = 1999;
    await world.clock.pass(10_000);
    expect(world.lost).toEqual([]);
    world.connectedForMs = 2000;
    await world.clock.pass(600);
    expect(world.lost).toHaveLength(1);
  });

  it.each([
    [["price"], 'or a function of operator "price" does not return'],
    [
      ["a", "b", "c", "d", "e", "f", "g"],
      'or a function of operator "a", "b", "c", "d", "e" or 2 more does not return',
    ],
  ])(
    "that is lost because it hangs is told with the operators whose functions run there: %j",
    async (functions, words) => {
      world.register("a");
      world.functions.set("a", functions);
      world.manners.set("a", "hangs");
      await world.clock.pass(9000);
      expect(world.lost).toEqual([`a: no answer for 5000 ms: the process hangs or is cut off, ${words}`]);
    },
  );

  it("is lost when it hangs for longer than the heartbeat timeout", async () => {
    world.register("a");
    await world.clock.pass(300);
    world.manners.set("a", "hangs");
    await world.clock.pass(5000);
    expect(world.lost).toEqual([]);
    await world.clock.pass(3000);
    expect(world.lost).toEqual(["a: no answer for 5000 ms: the process hangs or is cut off"]);
  });

  it("is given its whole time again after our own connection was away", async () => {
    world.register("a", 1, "hangs");
    await world.clock.pass(4500);
    world.connectedForMs = 0;
    await world.clock.pass(3000);
    world.connectedForMs = 60_000;
    await world.clock.pass(4500);
    expect(world.lost).toEqual([]);
    await world.clock.pass(3500);
    expect(world.lost).toHaveLength(1);
  });

  it("that registers again is the same one: it is not counted twice", async () => {
    world.register("a", 2);
    world.register("a", 2);
    expect(world.registry.slots).toBe(2);
    expect(world.changes).toBe(1);
    await world.clock.pass(300);
    expect(world.pings).toHaveLength(2);
  });

  it("does not answer for another one", async () => {
    world.register("a", 1, "gone");
    world.register("b");
    await world.clock.pass(1000);
    expect(world.lost.map((line) => line[0])).toEqual(["a"]);
    expect(world.registry.list().map(({ registration }) => registration.worker)).toEqual(["b"]);
  });

  it("is of no concern after close", async () => {
    world.register("a", 1, "gone");
    world.registry.close();
    await world.clock.pass(5000);
    expect(world.pings).toEqual([]);
    expect(world.lost).toEqual([]);
    expect(world.clock.pending).toEqual([]);
  });
});
