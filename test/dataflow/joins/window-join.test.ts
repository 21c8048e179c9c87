/** Window join and coGroup: what meets in a window, what is late, and the same across restores. */
import { expect, test } from "vitest";
import {
  ascendingTimestamps,
  defineJob,
  type KeyedStream,
  sessionWindows,
  tumblingWindows,
} from "../../../src/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { run, type Step } from "./cuts.ts";

interface Item {
  readonly key: string;
  readonly name: string;
  readonly gap?: number;
}

type Keyed = KeyedStream<Item, string>;

/** The definition of operator "joined". */
function joinedBy(build: (left: Keyed, right: Keyed) => { sink(id: string, sink: never): void }) {
  const job = defineJob("job", {}, (builder) => {
    const keyed = (id: string): Keyed =>
      builder.source(id, testSource<Item>(), { watermarks: ascendingTimestamps() }).keyBy(({ key }) => key);
    build(keyed("left"), keyed("right")).sink("out", testSink() as never);
  });
  return job.operators.find(({ definition }) => definition.id === "joined")!.definition;
}

const left = (name: string, time: number, key = "a", gap = 0): Step => ({
  port: 0,
  value: { key, name, gap },
  time,
});
const right = (name: string, time: number, key = "a", gap = 0): Step => ({
  port: 1,
  value: { key, name, gap },
  time,
});

const names = (items: readonly Item[]) => items.map(({ name }) => name).join(" ") || "none";

const minutes = tumblingWindows({ size: 60 });

const steps: readonly Step[] = [
  right("r1", 10),
  left("l1", 20),
  left("l2", 5),
  right("r2", 30),
  left("alone", 40, "b"),
  { watermark: 30 },
  left("l3", 70),
  right("only", 75, "b"),
  { watermark: 59 },
  left("late", 59),
  right("r3", 60),
  { watermark: 200 },
];

test("a join gives the pairs of each window, the left side in the outer loop, and nothing where a side is empty", () => {
  const join = joinedBy((l, r) =>
    l
      .join(r)
      .window(minutes, { lateOutput: "late" })
      .process("joined", (a, b, { key, window }) => `${key} ${window.start}: ${a.name} ${b.name}`),
  );
  const expected = [
    ["a 0: l1 r1", 59],
    ["a 0: l1 r2", 59],
    ["a 0: l2 r1", 59],
    ["a 0: l2 r2", 59],
    ["a 60: l3 r3", 119],
  ];
  const late = {
    value: { key: "a", name: "late", gap: 0 },
    timestamp: 59,
    cause: "late",
    operator: "joined",
    watermark: 59,
    side: "left",
  };
  for (let cut = 0; cut <= steps.length; cut++)
    expect(run(join, steps, [cut]).out).toEqual({ out: expected, late: [[late, 59]] });
});

test("a coGroup gives both sides of each window, also where one is empty", () => {
  const group = joinedBy((l, r) =>
    l
      .coGroup(r)
      .window(minutes)
      .process("joined", (ls, rs, { key, window }) => `${key} ${window.start}: ${names(ls)}, ${names(rs)}`),
  );
  const { out } = run(group, steps);
  expect(out.out!.map(([value]) => value).sort()).toEqual([
    "a 0: l1 l2, r1 r2",
    "a 60: l3, r3",
    "b 0: alone, none",
    "b 60: none, only",
  ]);
});

test("sessions may ask each record for its gap, and records of both sides keep one going", () => {
  const sessions = joinedBy((l, r) =>
    l
      .coGroup(r)
      .window(sessionWindows<Item>({ gap: ({ gap = 1 }) => gap }))
      .process("joined", (ls, rs, { window }) => `${window.start}-${window.end}: ${names(ls)}, ${names(rs)}`),
  );
  const { out } = run(sessions, [
    left("l1", 0, "a", 10),
    right("r1", 9, "a", 5),
    left("l2", 20, "a", 3),
    { watermark: 99 },
  ]);
  expect(out.out!.map(([value]) => value)).toEqual(["0-14: l1, r1", "20-23: l2, none"]);
});

test("a record within the allowed lateness gives all pairs of its window again, told to be late", () => {
  const join = joinedBy((l, r) =>
    l
      .join(r)
      .window(minutes, { allowedLateness: 100 })
      .process("joined", (a, b, { firing }) => `${firing}: ${a.name} ${b.name}`),
  );
  const { out } = run(join, [left("l1", 1), right("r1", 2), { watermark: 80 }, right("r2", 3)]);
  expect(out.out!.map(([value]) => value)).toEqual(["onTime: l1 r1", "late: l1 r1", "late: l1 r2"]);
});
