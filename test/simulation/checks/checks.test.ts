/** What the checks of a simulation say of a run that goes wrong. */
import { describe, expect, test } from "vitest";
import type { JobRecord, Manifest } from "../../../machines/protocol.ts";
import { splitsHandle } from "../../../src/dataflow/operators/source.ts";
import type { SourceReader } from "../../../src/dataflow/source.ts";
import type { TransactionMarker } from "../../../src/formats/transactions/transaction-marker.ts";
import { MemoryBroker } from "../../../src/memory/bus.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { encodeChunk } from "../../../src/state/snapshot/chunk.ts";
import { ColumnEncoder } from "../../../src/state/snapshot/columns.ts";
import { completedCheckpoint, jobRecord } from "../../support/job-record.ts";
import { Decisions } from "../decisions.ts";
import type { DrawnJob, Item } from "../jobs/drawing.ts";
import { Outputs } from "../jobs/ends/outputs.ts";
import { Scheduler } from "../scheduler.ts";
import { HeldSources } from "./held-sources.ts";
import { Invariants } from "./invariants.ts";
import { KeptSavepoints } from "./kept-savepoints.ts";
import { findLeftovers } from "./leftovers.ts";
import { LivingHosts } from "./living-hosts.ts";
import { LostInput } from "./lost-input.ts";
import { StoredState } from "./stored-state.ts";
import { WatchedStorage } from "./watched.ts";

function invariantsAfter(records: readonly Partial<JobRecord>[]): Invariants {
  const invariants = new Invariants(() => undefined);
  for (const some of records) invariants.recordStored(jobRecord(some));
  return invariants;
}

const marker = (some: Partial<TransactionMarker>): TransactionMarker => ({
  job: "job",
  incarnation: "i1",
  generation: 1,
  nonce: "n1",
  checkpointId: 1,
  part: 1,
  parts: 1,
  ...some,
});

describe("the invariants", () => {
  const decided = [{ checkpoints: [completedCheckpoint(3)] }];

  test.each<[string, readonly Partial<JobRecord>[]]>([
    ["the record's token (C5) fell from 5 to 4", [{ token: 5 }, { token: 4 }]],
    ["the record's generation (C5) fell from 3 to 2", [{ generation: 3 }, { generation: 2 }]],
    [
      "the record's reservation (C1) fell from 9 to 8",
      [{ reservedCheckpointId: 9 }, { reservedCheckpointId: 8 }],
    ],
    [
      "the record's last completed checkpoint (C1) fell from 4 to 3",
      [{ checkpoints: [completedCheckpoint(4)] }, { checkpoints: [completedCheckpoint(3)] }],
    ],
    [
      "C1: checkpoint 4 was completed and never reserved",
      [{ reservedCheckpointId: 3, checkpoints: [completedCheckpoint(4)] }],
    ],
    [
      "C6: the record names checkpoint 3, and word-count/i1/1/checkpoint-3/manifest is not there",
      [{ checkpoints: [completedCheckpoint(3)] }],
    ],
  ])("%s", (finding, records) => {
    expect(invariantsAfter(records).ended(true)).toContain(finding);
  });

  test.each<[string, readonly Partial<TransactionMarker>[]]>([
    [
      "C2: w, checkpoint 4, part 1 was committed when checkpoint 3 was the last decided one",
      [{ checkpointId: 4 }],
    ],
    ["C3: w, checkpoint 1, part 1 came after 2", [{ checkpointId: 2 }, { checkpointId: 1 }]],
    ["C3: w, checkpoint 2, part 2 is not the first part", [{}, { checkpointId: 2, part: 2, parts: 2 }]],
    ["C3: w, checkpoint 2, part 1 came when 1 had 1 of 2", [{ parts: 2 }, { checkpointId: 2 }]],
    ["C3: w: 1 of 2 parts of checkpoint 1 are committed", [{ parts: 2 }]],
    ["C5: w, checkpoint 1, part 1: generation 1 wrote after 2", [{ generation: 2 }, { generation: 1 }]],
    ["C5: w, checkpoint 1, part 1: two writers of generation 1", [{ nonce: "a" }, { nonce: "b" }]],
  ])("%s", (finding, markers) => {
    const invariants = invariantsAfter(decided);
    for (const some of markers) invariants.committed("w", marker(some));
    expect(invariants.ended(true)).toContain(finding);
  });

  test("C6: an object goes while the record names it", () => {
    const invariants = invariantsAfter(decided);
    invariants.deleted("word-count/i1/1/checkpoint-3/manifest");
    invariants.deleted("word-count/i1/1/checkpoint-2/manifest");
    expect(invariants.ended(true).filter((finding) => finding.includes("deleted"))).toEqual([
      "C6: word-count/i1/1/checkpoint-3/manifest is deleted while the record names it",
    ]);
  });

  test("nothing is wrong with a run that goes well", () => {
    const invariants = invariantsAfter([{}, { generation: 2, savepoints: [{ checkpointId: 2 } as never] }]);
    for (const part of [1, 2]) invariants.committed("w", marker({ part, parts: 2 }));
    invariants.committed("w", marker({ checkpointId: 2, generation: 2, nonce: "n2" }));
    expect(invariants.ended(true)).toEqual([]);
  });
});

describe("outputs that several jobs have committed", () => {
  const item = (at: number): Item => ({ by: "s0/0", key: 1, at, n: 0 });
  const savepoint = {
    location: "/to/1",
    job: "words",
    generation: 1,
    checkpointId: 2,
    mode: "no-claim",
  } as const;
  const outputs = new Outputs();
  outputs.recordStored(jobRecord({ incarnation: "i1" }));
  outputs.recordStored(jobRecord({ incarnation: "i2", origin: { ...savepoint, incarnation: "i1" } }));
  outputs.committed("out", marker({ checkpointId: 1 }), [item(1)]);
  outputs.committed("out", marker({ checkpointId: 2 }), [item(2)]);
  outputs.committed("out", marker({ checkpointId: 4 }), [item(3)]);
  outputs.committed("out", marker({ incarnation: "i2", checkpointId: 3 }), [item(4)]);
  const placesOf = (incarnation: string, partedFrom: readonly string[] = []) =>
    outputs.of("out", incarnation, new Set(partedFrom)).map(({ at }) => at);

  test("a job answers for its own, and for what it was restored from (OL1)", () => {
    expect(placesOf("i1")).toEqual([1, 2, 3]);
    expect(placesOf("i2")).toEqual([1, 2, 3, 4]);
  });

  test("not for what a job that goes on beside it has written behind the savepoint (OL2)", () => {
    expect(placesOf("i2", ["i1"])).toEqual([1, 2, 4]);
  });

  test("what has ended and commits all the same is told (OL3)", () => {
    outputs.ended("i1");
    outputs.committed("out", marker({ checkpointId: 5 }), []);
    expect(outputs.findings).toEqual([]);
    outputs.committed("out", marker({ checkpointId: 5 }), [item(5)]);
    expect(outputs.findings).toEqual(["C5: incarnation i1 has ended, and committed 1 times since"]);
  });
});

test("P37: an object of a savepoint goes that no job has claimed", () => {
  const kept = new KeptSavepoints();
  const [one, two] = ["/to/word-count-savepoint-1-i1", "/to/word-count-savepoint-2-i1"];
  const savepoints = [one, two].map((location) => ({ location }) as never);
  kept.recordStored(jobRecord({ savepoints }));
  const taken = { job: "words", incarnation: "i1", generation: 1, checkpointId: 2 } as const;
  const origin = { location: two, ...taken, mode: "claimed" } as const;
  kept.recordStored(jobRecord({ job: "fork", origin }));
  for (const name of ["1-i1", "2-i1", "3-i1"]) kept.deleted(`word-count-savepoint-${name}/metadata.x`);
  expect(kept.findings).toEqual([
    `P37: word-count-savepoint-1-i1/metadata.x is deleted, and ${one} is its user's`,
  ]);
});

describe("what is left behind", () => {
  const leftBy = async (
    act: (
      process: ReturnType<Scheduler["process"]>,
      bus: ReturnType<MemoryBroker["connect"]>,
      storage: WatchedStorage,
    ) => unknown,
    stop = async () => {},
  ) => {
    const scheduler = new Scheduler(new Decisions(1));
    const storage = new WatchedStorage();
    const bus = new MemoryBroker().connect();
    const process = scheduler.process("worker");
    await act(process, bus, storage);
    const invariants = invariantsAfter([]);
    const hosts = new LivingHosts(() => scheduler.current);
    return await findLeftovers({
      scheduler,
      storage,
      invariants,
      hosts,
      stoppable: () => [{ process, bus, stop }],
      collect: () => void storage.delete("late"),
    });
  };

  test("nothing, of a process that does nothing", async () => {
    expect(await leftBy(() => {})).toEqual([]);
  });

  test("an object that nothing names", async () => {
    const found = await leftBy((_, __, storage) => storage.put("a/1", [new Uint8Array([1])]));
    expect(found).toEqual(["left behind: the object a/1, which nothing names"]);
  });

  test("nothing, where it came behind the job's end and the user has it collected; what was there before stays", async () => {
    const late: Parameters<typeof leftBy>[0] = (process, _, storage) =>
      process.after(1000, () => void storage.put("late", [new Uint8Array([1])]));
    expect(await leftBy(late)).toEqual([]);
    const before: typeof late = async (_, __, storage) => {
      storage.isOver = () => true;
      await storage.put("late", [new Uint8Array([1])]);
    };
    expect(await leftBy(before)).toEqual([]);
    const both: typeof late = async (process, bus, storage) => {
      await storage.put("a/1", [new Uint8Array([1])]);
      late(process, bus, storage);
    };
    expect(await leftBy(both)).toEqual([
      "left behind: the object a/1, which nothing names",
      "left behind: the object late, which nothing names",
    ]);
  });

  test("a subscription, and a timer that keeps the process alive", async () => {
    const found = await leftBy((process, bus) => {
      bus.subscribe("a.b", () => {});
      process.after(600_000, () => {});
      process.after(600_000, () => {}, false);
    });
    expect(found).toEqual([
      "left behind: a subscription to a.b of worker1",
      expect.stringMatching(/^left behind: timer at 600\.\d+ of worker1$/),
    ]);
  });

  test("a process that does not stop", async () => {
    expect(
      await leftBy(
        () => {},
        () => new Promise<void>(() => {}),
      ),
    ).toEqual(["left behind: worker1, which has not stopped"]);
  });
});

test("a source that reads while it is held is told, once, and not when it was released before", () => {
  const sources = new HeldSources();
  const step = (effect: string): FeedEvent =>
    ({ role: "subtask", generation: 2, id: "s0/1", effects: [effect] }) as unknown as FeedEvent;
  const reader = { poll: () => "idle" } as unknown as SourceReader<number>;
  const watched = sources.watched(reader, "worker1", 2, "s0/1");
  const other = sources.watched(reader, "worker1", 3, "s0/1");
  const read = () => [watched, other].map((one) => one.poll(() => {}, 1));
  sources.hear("worker1", step("hold.source"));
  sources.hear("worker1", step("resume.source"));
  read();
  expect(sources.findings).toEqual([]);
  sources.hear("worker1", step("hold.source"));
  read();
  read();
  expect(sources.findings).toEqual(["worker1: s0/1 of generation 2 reads on although it is held"]);
});

describe("what a checkpoint holds (C4)", () => {
  const items = [3, 5, 3].map((key, i): Item => ({ by: "s0/0", key, at: i + 1, n: i }));
  const drawn = {
    sources: [{ id: "s0", splits: [items], parallelism: 1, bounded: true }],
    operators: [
      {
        ...{ id: "o0", kind: "count", keys: "number", parallelism: 1, a: 1, b: 0 },
        ports: [[{ from: "s0", exchange: "forward" }]],
      },
    ],
    sinks: [],
    options: {},
  } as unknown as DrawnJob;

  function findingsOf(position: number, counts: readonly [key: number, count: number][], inFlight = 0) {
    const split = { id: "0", index: 0 };
    const groups = [{ keyGroup: 0, entries: counts.length }];
    const rows = { keys: counts.map(([key]) => key), groups, values: counts.map(([, count]) => count) };
    const { bytes } = encodeChunk(rows, new ColumnEncoder());
    const states = [
      splitsHandle("s0", 0, [{ split, position }]),
      { kind: "keyed", operator: "o0", state: "count", pieces: [{ content: bytes, segments: [] }] },
    ];
    const manifest = {
      job: "drawn",
      checkpointId: 4,
      subtasks: [{ states, channels: [{ records: inFlight }] }],
    };
    const storedState = new StoredState();
    storedState.look(drawn, manifest as unknown as Manifest, () => undefined);
    return storedState.findings;
  }

  test("what comes of the records in front of its positions", () => {
    expect(
      findingsOf(2, [
        [3, 1],
        [5, 1],
      ]),
    ).toEqual([]);
  });

  test.each<[string, readonly [number, number][]]>([
    ["a row that is not there", [[3, 1]]],
    [
      "a row of a later record",
      [
        [3, 2],
        [5, 1],
      ],
    ],
    [
      "a row too many",
      [
        [3, 1],
        [5, 1],
        [7, 0],
      ],
    ],
  ])("%s is told", (_, rows) => {
    expect(findingsOf(2, rows)).toEqual([
      expect.stringMatching(/^C4: checkpoint 4 of drawn: o0\.count, key number \d: .*, not .*$/),
    ]);
  });

  test("nothing is said where records are on their way", () => {
    expect(findingsOf(2, [[3, 1]], 1)).toEqual([]);
  });
});

describe("input that has gone", () => {
  const source = { id: "s0", splits: [[]], retention: { limits: {}, gaps: "fail", purges: [] } };
  const shows = (...sequences: readonly number[]) =>
    new Map([["tap-s0", sequences.map((at): Item => ({ by: "s0/0", key: 1, at, n: 1 }))]]);

  /** Sequences 1 to 5, of which 1 to 3 go. */
  function lost(): LostInput {
    const input = new LostInput({ sources: [source] } as unknown as DrawnJob, () => 0);
    const stream = input.streamsOf("s0")![0]!;
    for (let at = 1; at <= 5; at++) stream.append({ by: "s0/0", key: 1, at, n: 1 });
    stream.purge(2);
    return input;
  }

  const gap = (range: string): string =>
    `stream "s0-0" begins at sequence 4, but the job goes on at sequence 2: ${range} gone, which the job has not read`;

  test.each([
    ["sequences 2 to 3 are", [1], []],
    ["sequences 2 to 4 are", [1], [expect.stringMatching(/but 4 are there$/)]],
    ["sequence 2 is", [1, 4], [expect.stringMatching(/but 4 were read$/)]],
  ])("a job that stops because %s gone, and has read %j", (words, read, findings) => {
    const input = lost();
    expect(input.gapIn(gap(words), shows(...read))).toBe("s0");
    expect(input.findings).toEqual(findings);
  });

  test.each([
    ["what it has read and skipped comes to its position", 2, [1, 4, 5], []],
    ["it has counted too few", 1, [1, 4, 5], [expect.stringContaining("3 were read and 1 skipped")]],
    [
      "it has read what it counts as skipped",
      2,
      [1, 2, 4, 5],
      [expect.stringContaining("4 were read and 2")],
    ],
  ])("a job that has skipped it, where %s", (_, sequences, read, findings) => {
    const input = lost();
    input.gapIn(gap("sequences 2 to 3 are"), shows(1));
    const split = {
      ...{ id: "0", stream: "s0-0", created: "", retention: "limits" },
      filters: [],
      gaps: "fail",
    };
    const position = { read: 5, accounted: 5, skipped: { ranges: 1, sequences } };
    const states = [splitsHandle("s0", 0, [{ split: split as never, position }])];
    input.look({ incarnation: "i1", checkpointId: 1, subtasks: [{ states }] } as unknown as Manifest);
    expect(input.ended(shows(...read))).toEqual(findings);
  });
});
