/** What a leader answers to clients that ask for checkpoints, savepoints and stops, and what it tells its machines. */

import { describe, expect, it, test } from "vitest";
import type { JobRecord, JobStatus, SavepointEntry } from "../../../../machines/protocol.ts";
import type { Told } from "../../../../machines/wiring.ts";
import { SavepointPlaces } from "../../../../src/checkpoint/savepoint-places.ts";
import type { LeaderAnswer, RequestOutcome, SnapshotRequest } from "../../../../src/control/messages.ts";
import { Host } from "../../../../src/runtime/actor.ts";
import { JobRequests } from "../../../../src/runtime/leader/checkpoints/job-requests.ts";
import { checkpointingConfig, jobRecord } from "../../../support/job-record.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

type Then = SnapshotRequest["followedBy"];

/** A leader of job "word-count": its requests are real, its job and its checkpointing a list of what they were told. */
class Leader {
  readonly told: string[] = [];
  readonly clock = new ManualClock();
  /** The state of the job machine. */
  phase = "running.processing";
  record: JobRecord;
  readonly requests: JobRequests;
  readonly #host: Host;

  constructor(some: Partial<JobRecord> = {}) {
    const checkpointing = checkpointingConfig({ savepointDirectory: "/configured" });
    this.record = jobRecord({ incarnation: "0123456789", checkpointing, ...some });
    const host = new Host({
      clock: this.clock,
      observe: ({ effects }) => this.#note(effects),
      onCrash: (error) => {
        throw error;
      },
    });
    this.#host = host;
    this.requests = new JobRequests({
      host: {
        has: (actor) => (actor === "checkpointing" ? this.phase !== "claiming" : host.has(actor)),
        state: (actor) => (actor === "job" ? this.phase : host.state(actor)),
        context: () => undefined,
        start: (definition) => host.start(definition),
        send: (actor, event) => host.send(actor, event),
      },
      clock: this.clock,
      places: SavepointPlaces.anywhere,
      record: () => this.record,
      ended: () =>
        this.phase !== "claiming" && !["created", "running", "settling"].includes(this.record.status),
    });
  }

  #note(effects: readonly { readonly type: string; readonly params: unknown }[]): void {
    for (const { type, params } of effects) {
      if (!type.startsWith("tell.")) continue;
      const { type: event, ...rest } = (params as { readonly event: { readonly type: string } }).event;
      this.told.push(`${type.slice("tell.".length)} ${event} ${JSON.stringify(rest)}`);
    }
  }

  get cancels(): number {
    return this.told.filter((told) => told.startsWith("job cancel.requested")).length;
  }

  begins(request: string): void {
    this.#host.tell({ type: "request.begun", request });
  }

  /** Its savepoint is in the record, or its checkpoint is. */
  completes(request: string, checkpointId = 12, location: string | null = LOCATION): void {
    this.begins(request);
    this.#host.tell({ type: "savepoint.recorded", request, checkpointId, location, completed: 0 });
  }

  aborts(request: string, detail: string, some: Partial<Told<"request.aborted">> = {}): void {
    const job = { completed: 0, phase: this.phase, settleTo: null } as const;
    this.#host.tell({ type: "request.aborted", request, reason: "expired", detail, ...job, ...some });
  }

  fails(request: string, detail: string): void {
    this.begins(request);
    this.aborts(request, detail);
  }

  refuses(request: string): void {
    this.#host.send(`request/${request}`, { type: "request.refused", reason: "too-many-requests" });
  }

  jobFails(where: string, reason: string): void {
    this.#host.tell({ type: "job.failed", where, reason });
  }

  jobEnds(status: JobStatus): void {
    this.#host.tell({ type: "job.ended", status });
  }

  ask(followedBy: Then, some: Partial<SnapshotRequest> = {}): LeaderAnswer {
    const asked = { job: "word-count", request: "r", kind: "savepoint", directory: "/to", ...some } as const;
    return this.requests.take({ type: "job.snapshot", followedBy, ...asked });
  }

  /** The record remembers a savepoint, of this life of the job unless said otherwise. */
  remembers(status: JobStatus, some: Partial<SavepointEntry> = {}): void {
    const savepoint = {
      checkpointId: 12,
      request: "r",
      location: LOCATION,
      generation: 1,
      completedAtMs: 1,
      bytes: 1,
      ...some,
    };
    this.record = { ...this.record, status, savepoints: [savepoint] };
  }
}

const LOCATION = "/to/word-count-savepoint-12-01234567";
const pending = { answer: "outcome", outcome: { state: "pending" } };
const completed = {
  answer: "outcome",
  outcome: { state: "completed", checkpointId: 12, location: LOCATION },
};
const failed = (words: RegExp) => ({
  answer: "outcome",
  outcome: { state: "failed", reason: expect.stringMatching(words) },
});
const outcomeOf = (answer: LeaderAnswer): RequestOutcome["state"] | undefined =>
  answer.answer === "outcome" ? answer.outcome.state : undefined;

describe("what is asked for is handed on once", () => {
  test.each<[string, Then, Partial<SnapshotRequest>, string]>([
    ["a checkpoint", "go-on", { kind: "checkpoint" }, 'reason":"manual","savepoint":null}}'],
    ["a savepoint", "go-on", {}, '"reason":"savepoint","savepoint":"/to"}}'],
    ["one to where the job keeps them", "go-on", { directory: null }, '"savepoint":"/configured"}}'],
    ["one before a cancel", "cancel", {}, '"reason":"cancel","savepoint":"/to"}}'],
    ["a stop", "stop", {}, 'job stop.requested {"request":"r","savepoint":"/to","drain":false}'],
    ["a drain", "drain", {}, 'job stop.requested {"request":"r","savepoint":"/to","drain":true}'],
  ])("%s", (_, followedBy, some, told) => {
    const leader = new Leader();
    expect(leader.ask(followedBy, some)).toEqual(pending);
    leader.phase = "running.stopping";
    expect(leader.ask(followedBy, some)).toEqual(pending);
    expect(leader.told).toEqual([expect.stringContaining(told)]);
  });

  it("waits for a leader that has not claimed the job yet", () => {
    const leader = new Leader();
    leader.phase = "claiming";
    expect(leader.ask("go-on")).toEqual(pending);
    expect(leader.told).toEqual([]);
    leader.phase = "running.processing";
    expect(leader.ask("go-on")).toEqual(pending);
    expect(leader.told).toHaveLength(1);
  });
});

describe("refused at once, in words, and no machine is told", () => {
  test.each<[string, Then, Partial<SnapshotRequest>, JobStatus, string, RegExp]>([
    [
      "a job that has ended",
      "go-on",
      {},
      "finished",
      "",
      /is finished: there is nothing to take a savepoint of/,
    ],
    [
      "a checkpoint of a canceled one",
      "go-on",
      { kind: "checkpoint" },
      "canceled",
      "",
      /take a checkpoint of/,
    ],
    ["a job that settles", "cancel", {}, "settling", "settling.committing", /job word-count is settling/],
    [
      "nowhere to put it",
      "go-on",
      { directory: null },
      "running",
      "running.processing",
      /--to.*savepointDirectory/,
    ],
    [
      "a relative path",
      "go-on",
      { directory: "here" },
      "running",
      "running.processing",
      /nor an absolute path/,
    ],
    [
      "a stop into what is no bucket",
      "stop",
      { directory: "nats:a b" },
      "running",
      "running.processing",
      /name of a bucket/,
    ],
    ["a stop that has nowhere to go", "stop", { directory: null }, "running", "running.processing", /--to/],
    [
      "a stop of a job that ends",
      "stop",
      {},
      "running",
      "running.finishing",
      /ending already: it is taking its last checkpoint/,
    ],
    [
      "a second stop",
      "drain",
      {},
      "running",
      "running.stopping",
      /ending already: it is taking the savepoint that it stops with/,
    ],
    [
      "a stop while it backs off",
      "stop",
      {},
      "running",
      "backingOff",
      /does not run.*try again.*tidemark cancel/,
    ],
    [
      "a drain before it runs",
      "drain",
      {},
      "created",
      "waiting",
      /does not run at present \(it is waiting for workers\)/,
    ],
  ])("%s", (_, followedBy, some, status, phase, words) => {
    const leader = new Leader({ status, checkpointing: checkpointingConfig() });
    leader.phase = phase;
    expect(leader.ask(followedBy, some)).toEqual({ answer: "refused", reason: expect.stringMatching(words) });
    expect(leader.told).toEqual([]);
    expect(leader.requests.unanswered).toBe(0);
  });

  it("does not refuse a savepoint or a cancel with one of a job that backs off", () => {
    const leader = new Leader();
    leader.phase = "backingOff";
    expect(leader.ask("go-on", { request: "a" })).toEqual(pending);
    expect(leader.ask("cancel", { request: "b" })).toEqual(pending);
  });
});

describe("the outcome", () => {
  it("is kept for a client that asks again, also when the job has ended since", () => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.completes("r");
    expect(leader.ask("go-on")).toEqual(completed);
    leader.record = { ...leader.record, status: "finished" };
    expect(leader.ask("go-on")).toEqual(completed);
  });

  it("of a failure is its reason, and stays", () => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.fails("r", "expired: waited for count/0");
    leader.aborts("r", "something later");
    expect(leader.ask("go-on")).toEqual(failed(/^expired: waited for count\/0$/));
  });

  it("of a completed one does not become a failure", () => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.completes("r");
    leader.jobEnds("canceled");
    expect(leader.ask("go-on")).toEqual(completed);
  });

  it("comes to all that wait when the job ends", () => {
    const leader = new Leader();
    leader.ask("go-on", { request: "a" });
    leader.ask("cancel", { request: "b" });
    leader.jobEnds("failed");
    for (const request of ["a", "b"])
      expect(leader.ask("go-on", { request })).toEqual(
        failed(/^the job is failed, and it had not begun by then$/),
      );
    expect(leader.cancels).toBe(0);
  });

  it("of a stop that the job failed before is that it goes on; a savepoint beside it is not concerned", () => {
    const leader = new Leader();
    leader.ask("go-on", { request: "beside" });
    leader.ask("stop");
    leader.jobFails("count/0", "division by zero");
    expect(leader.ask("stop")).toEqual(
      failed(/failed before it \(count\/0: division by zero\), and goes on/),
    );
    expect(leader.ask("go-on", { request: "beside" })).toEqual(pending);
  });

  it("is remembered for ten minutes, however many others there were, and one that waits is never forgotten", () => {
    const leader = new Leader();
    leader.ask("go-on", { request: "waits" });
    leader.ask("go-on", { request: "oldest" });
    leader.fails("oldest", "expired");
    for (let i = 0; i < 200; i++) {
      leader.ask("go-on", { request: `r${i}` });
      leader.fails(`r${i}`, "expired");
    }
    const told = leader.told.length;
    leader.clock.advance(599_000);
    expect(leader.ask("go-on", { request: "oldest" })).toEqual(failed(/^expired$/));
    for (let i = 0; i < 200; i++) expect(outcomeOf(leader.ask("go-on", { request: `r${i}` }))).toBe("failed");
    expect(leader.ask("go-on", { request: "waits" })).toEqual(pending);
    expect(leader.told).toHaveLength(told);
    leader.clock.advance(1_000);
    // Those that are over are not kept for ever.
    expect(leader.ask("go-on", { request: "oldest" })).toEqual(pending);
    expect(leader.ask("go-on", { request: "waits" })).toEqual(pending);
    expect(leader.told).toHaveLength(told + 1);
  });

  it("of a checkpoint that a newer one has subsumed is the newer one", () => {
    const leader = new Leader();
    leader.ask("go-on", { kind: "checkpoint" });
    leader.begins("r");
    leader.aborts("r", "subsumed", { reason: "subsumed", completed: 13 });
    const newer = { answer: "outcome", outcome: { state: "completed", checkpointId: 13, location: null } };
    expect(leader.ask("go-on", { kind: "checkpoint" })).toEqual(newer);
  });

  test.each<[string, Partial<Told<"request.aborted">>, RegExp]>([
    ["is being drained", { phase: "running.draining" }, /the job is being drained/],
    ["is canceled meanwhile", { settleTo: "canceled" }, /^the job is canceled, and it was not complete by/],
    ["has failed", {}, /^a subtask broke$/],
  ])("of one that has begun in a job that %s says so", (_, some, words) => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.begins("r");
    leader.jobFails("count/0", "division by zero");
    leader.jobEnds("canceled");
    expect(leader.ask("go-on")).toEqual(pending);
    leader.aborts("r", "a subtask broke", { reason: "job-stopped", ...some });
    expect(leader.ask("go-on")).toEqual(failed(words));
  });

  it("comes to each of those that were refused because too many waited, however many do", () => {
    const leader = new Leader();
    for (let i = 0; i < 300; i++) leader.ask("go-on", { request: `waits${i}` });
    for (let i = 0; i < 100; i++) {
      leader.ask("go-on", { request: `refused${i}` });
      leader.refuses(`refused${i}`);
    }
    const told = leader.told.length;
    for (let again = 0; again < 2; again++)
      for (let i = 0; i < 100; i++)
        expect(leader.ask("go-on", { request: `refused${i}` })).toEqual(failed(/^too many requests/));
    for (let i = 0; i < 300; i++) leader.completes(`waits${i}`, i + 1, null);
    for (let i = 0; i < 300; i++)
      expect(outcomeOf(leader.ask("go-on", { request: `waits${i}` }))).toBe("completed");
    expect(leader.told).toHaveLength(told);
  });
});

describe("of a savepoint that the job was to end with", () => {
  test.each<[Then, JobStatus, JobStatus]>([
    ["stop", "settling", "stopped"],
    ["drain", "settling", "stopped"],
    ["cancel", "running", "canceled"],
  ])("%s: the outcome comes with the end, not before", (followedBy, meanwhile, end) => {
    const leader = new Leader();
    leader.ask(followedBy);
    leader.remembers(meanwhile);
    leader.completes("r");
    expect(leader.ask(followedBy)).toEqual(pending);
    expect(leader.requests.unanswered).toBe(1);
    leader.remembers(end);
    leader.jobEnds(end);
    expect(leader.ask(followedBy)).toEqual(completed);
    expect(leader.requests.unanswered).toBe(0);
    expect(leader.cancels > 0).toBe(followedBy === "cancel");
  });

  test.each<[Then, JobStatus]>([
    ["stop", "failed"],
    ["stop", "canceled"],
    ["drain", "failed"],
    ["cancel", "failed"],
    ["cancel", "finished"],
  ])("%s of a job that is %s in the end: where it is, and what to do", (followedBy, end) => {
    const leader = new Leader();
    leader.remembers(end);
    expect(leader.ask(followedBy)).toEqual(
      failed(new RegExp(`it is at ${LOCATION}, but job word-count is ${end} now.*start it again`)),
    );
  });

  it("cancels when it succeeds, and not when it fails", () => {
    const leader = new Leader();
    leader.ask("cancel");
    leader.fails("r", "expired");
    expect(leader.cancels).toBe(0);
    leader.ask("cancel", { request: "again" });
    expect(leader.cancels).toBe(0);
    leader.completes("again");
    expect(leader.cancels).toBe(1);
  });
});

describe("a leader that takes over from one that had given a request up", () => {
  const gaveUp: readonly (readonly [string, (before: Leader) => void])[] = [
    ["its checkpoint expired", (before) => before.fails("r", "expired: waited for count/0")],
    ["too many waited", (before) => before.refuses("r")],
  ];
  test.each(gaveUp)("(%s) takes it anew for a client that has not heard of it, once", (_, giveUp) => {
    const before = new Leader();
    before.ask("go-on");
    giveUp(before);
    expect(outcomeOf(before.ask("go-on"))).toBe("failed");
    const next = new Leader(before.record);
    expect(next.ask("go-on")).toEqual(pending);
    expect(next.ask("go-on")).toEqual(pending);
    expect(next.told).toHaveLength(1);
    next.completes("r");
    expect(next.ask("go-on")).toEqual(completed);
  });

  it("stops the job for a client whose stop fell with a failure that it has not heard of", () => {
    const before = new Leader();
    before.ask("stop");
    before.jobFails("count/0", "division by zero");
    expect(before.ask("stop")).toEqual(failed(/the job has failed before it/));
    const next = new Leader(before.record);
    next.phase = "deploying.restoring";
    expect(next.ask("stop")).toEqual({ answer: "refused", reason: expect.stringMatching(/try again/) });
    const runs = new Leader(before.record);
    expect(runs.ask("stop")).toEqual(pending);
    expect(runs.told).toHaveLength(1);
  });
});

describe("a leader that knows the savepoint from the record only", () => {
  test.each<[Then, JobStatus, object, number]>([
    ["go-on", "running", completed, 0],
    ["go-on", "finished", completed, 0],
    ["stop", "settling", pending, 0],
    ["stop", "stopped", completed, 0],
    ["cancel", "running", pending, 1],
    ["cancel", "canceled", completed, 0],
  ])("(%s, the job is %s) takes no second one", (followedBy, status, answer, cancels) => {
    const leader = new Leader();
    leader.remembers(status);
    expect(leader.ask(followedBy)).toEqual(answer);
    expect(leader.told).toHaveLength(cancels);
    expect(leader.cancels).toBe(cancels);
  });

  it("is complete for a leader that still claims the stopped job", () => {
    const leader = new Leader();
    leader.phase = "claiming";
    leader.remembers("stopped");
    expect(leader.ask("drain")).toEqual(completed);
  });

  test.each<[Then, JobStatus, Partial<SavepointEntry>]>([
    ["cancel", "running", { location: "/to/word-count-savepoint-12-fedcba98" }],
    ["cancel", "canceled", { location: "/to/word-count-savepoint-12-fedcba98" }],
    ["stop", "running", { location: "/to/word-count-savepoint-12-fedcba98" }],
    ["stop", "settling", { location: "nats:BUCKET/word-count-savepoint-12-fedcba98" }],
    ["drain", "stopped", { location: "/to/word-count-savepoint-12-fedcba98" }],
    // Decided, failed while it settled, and resumed.
    ["stop", "running", {}],
  ])("(%s) leaves a job alone that was started again since and is %s", (followedBy, status, some) => {
    const leader = new Leader();
    leader.remembers(status, some);
    expect(leader.ask(followedBy)).toEqual(failed(/it is at .*, and job word-count was started again since/));
    expect(leader.cancels).toBe(0);
    expect(leader.told).toEqual([]);
  });
});

describe("a client that is about to ask again", () => {
  it("is counted until it has its outcome", () => {
    const leader = new Leader();
    leader.ask("go-on", { request: "a" });
    leader.ask("go-on", { request: "b" });
    leader.ask("go-on", { request: "b" });
    expect(leader.requests.unanswered).toBe(2);
    leader.completes("a");
    expect(leader.requests.unanswered).toBe(2);
    leader.ask("go-on", { request: "a" });
    expect(leader.requests.unanswered).toBe(1);
    leader.jobEnds("failed");
    leader.ask("go-on", { request: "b" });
    expect(leader.requests.unanswered).toBe(0);
  });

  it("is one that cancels, too, until it has seen the end or was refused", () => {
    const leader = new Leader();
    leader.requests.cancelAsked();
    expect(leader.requests.unanswered).toBe(1);
    leader.clock.advance(9_000);
    leader.requests.cancelAsked();
    leader.clock.advance(9_000);
    leader.record = { ...leader.record, status: "canceled" };
    expect(leader.requests.unanswered).toBe(1);
    leader.requests.cancelAsked();
    expect(leader.requests.unanswered).toBe(0);

    const other = new Leader();
    other.requests.cancelAsked();
    other.record = { ...other.record, status: "settling", settleTo: "stopped" };
    other.requests.cancelAsked();
    expect(other.requests.unanswered).toBe(0);
  });

  it("is not counted any more when it has not asked for a while, and again when it does", () => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.clock.advance(9_000);
    expect(leader.requests.unanswered).toBe(1);
    leader.clock.advance(1_000);
    expect(leader.requests.unanswered).toBe(0);
    leader.ask("go-on");
    expect(leader.requests.unanswered).toBe(1);
  });

  it("is not waited for longer because the clock was set back", () => {
    const leader = new Leader();
    leader.ask("go-on");
    leader.clock.advance(10_000);
    leader.clock.setBack(3_600_000);
    expect(leader.requests.unanswered).toBe(0);
  });
});

describe("a cancel", () => {
  test.each([
    ["finished", null, "job word-count is finished: there is nothing to cancel"],
    ["stopped", null, "job word-count is stopped: there is nothing to cancel"],
    [
      "suspended",
      null,
      'there is nothing to cancel; "tidemark dispose job:word-count" deletes what it keeps',
    ],
    ["failed", null, 'there is nothing to cancel; "tidemark dispose job:word-count" deletes what it keeps'],
    ["settling", "suspended", "job word-count is ending already, and will be suspended"],
    ["settling", "finished", "job word-count is ending already, and will be finished"],
  ] as const)("of a job that is %s (%s) is refused", (status, settleTo, words) => {
    expect(new Leader({ status, settleTo }).requests.cancelRefusal()).toMatch(words);
  });

  test.each([
    ["running", null],
    ["created", null],
    ["settling", "canceled"],
    ["canceled", null],
  ] as const)("of a job that is %s (%s) is taken", (status, settleTo) => {
    expect(new Leader({ status, settleTo }).requests.cancelRefusal()).toBeUndefined();
  });
});
