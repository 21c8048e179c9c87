/** AS1 to AS3: what each subtask gets back, for every pair of parallelisms up to 8 and every kind of state. */
import { describe, expect, test } from "vitest";
import type {
  ChannelStateHandle,
  CommittableHandle,
  Distribution,
  GraphPlan,
  KeyedStateHandle,
  Manifest,
  OperatorStateHandle,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { assign, deal, type SubtaskRestore } from "../../../src/job/restore/assignment.ts";
import { keyGroupRangeOf, ownerOf } from "../../../src/state/key-groups.ts";
import { subtaskSnapshot } from "../../support/job-record.ts";

/** Few, and no multiple of most parallelisms. */
const KEY_GROUPS = 13;
const PARALLELISMS = [1, 2, 3, 4, 5, 6, 7, 8];
const PAIRS = PARALLELISMS.flatMap((was) => PARALLELISMS.map((is) => [was, is] as const));
const PARTITIONERS = ["hash", "rebalance", "broadcast"] as const;

const planOf = (parallelism: number): GraphPlan => ({
  vertices: [
    { id: "in", parallelism: 2, operators: [{ id: "in", kind: "source", inputs: [] }] },
    { id: "v", parallelism, operators: [{ id: "v", kind: "any", inputs: [{ from: "in" }], states: ["n"] }] },
  ],
  edges: PARTITIONERS.map((partitioner) => ({ id: partitioner, from: "in", to: "v", partitioner })),
  maxParallelism: KEY_GROUPS,
});

const indices = (count: number) => Array.from({ length: count }, (_, i) => i);
const entry = (subtask: number, i: number) => Uint8Array.of(subtask, i);

/** Chunks of two key groups at most, in pieces of one chunk; each byte of a piece is a key group. */
function keyed(subtask: number, parallelism: number): KeyedStateHandle {
  const keyGroups = keyGroupRangeOf(subtask, parallelism, KEY_GROUPS);
  const pieces = [];
  for (let first = keyGroups.first; first <= keyGroups.last; first += 2) {
    const last = Math.min(first + 1, keyGroups.last);
    const content = Uint8Array.from(first === last ? [first] : [first, last]);
    pieces.push({ content, segments: [{ keyGroups: { first, last }, offset: 0, bytes: content.length }] });
  }
  return { kind: "keyed", operator: "v", state: "n", keyGroups, pieces };
}

/** Subtask 1 has none, subtask 2 five. */
const entriesAt = (subtask: number) => (subtask === 1 ? 0 : subtask === 2 ? 5 : 2);

const operatorState = (distribution: Distribution, subtaskIndex: number): OperatorStateHandle => ({
  kind: "operator",
  operator: "v",
  state: distribution,
  distribution,
  subtaskIndex,
  entries: indices(entriesAt(subtaskIndex)).map((i) => entry(subtaskIndex, i)),
});

const transaction = (writer: number, checkpointId: number): CommittableHandle => ({
  ...{ incarnation: "i1", sink: "v", writer, checkpointId, staged: [], detail: null },
});

const records = (edge: string, from: number, to: number, offset: number): ChannelStateHandle => ({
  ...{ edge, from, to, records: 1, bytes: 1, inline: null, object: null, offset },
});

const snapshotOf = (index: number, parallelism: number): SubtaskSnapshot =>
  subtaskSnapshot({
    subtask: `v/${index}`,
    states: [
      keyed(index, parallelism),
      ...(["list", "union", "broadcast", "own"] as const).map((one) => operatorState(one, index)),
    ],
    transactions: [transaction(index, 6), transaction(index, 7)],
    channels: PARTITIONERS.flatMap((edge) =>
      // The offset tells the former receiver.
      [0, 1].flatMap((from) => [
        records(edge, from, index, index * 10),
        records(edge, from, index, index * 10 + 1),
      ]),
    ),
  });

function assigned(was: number, is: number): SubtaskRestore[] {
  const manifest: Pick<Manifest, "subtasks"> = {
    subtasks: indices(was).map((index) => snapshotOf(index, was)),
  };
  const all = assign(manifest, planOf(was), planOf(is));
  return indices(is).map((index) => all.get(`v/${index}`)!);
}

const entriesOf = ({ states }: SubtaskRestore, state: Distribution): string[] =>
  states.flatMap((one) => (one.kind === "operator" && one.state === state ? one.entries.map(String) : []));

const allEntries = (was: number): string[] =>
  indices(was).flatMap((subtask) => indices(entriesAt(subtask)).map((i) => String(entry(subtask, i))));

describe.each(PAIRS)("from %i subtasks to %i", (was, is) => {
  const restores = assigned(was, is);

  test("each key group comes to the one subtask that owns it", () => {
    for (const [index, { states }] of restores.entries()) {
      const { first, last } = keyGroupRangeOf(index, is, KEY_GROUPS);
      const read = states
        .flatMap((state) => (state.kind === "keyed" ? state.pieces : []))
        .flatMap(({ content }) => [...(content as Uint8Array)]);
      const own = read.filter((keyGroup) => keyGroup >= first && keyGroup <= last);
      expect(own).toEqual(indices(last - first + 1).map((i) => first + i));
      // A piece that holds none of them is not read at all.
      expect(read.length - own.length).toBeLessThanOrEqual(2);
    }
  });

  test("each entry of a list comes to one subtask, in order, and none gets two more than another", () => {
    const dealt = restores.map((restore) => entriesOf(restore, "list"));
    expect(dealt.flat()).toEqual(allEntries(was));
    const counts = dealt.map(({ length }) => length);
    if (was !== is) expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });

  test("each subtask gets the whole of a union, and of a broadcast what one subtask had", () => {
    for (const [index, restore] of restores.entries()) {
      expect(entriesOf(restore, "union")).toEqual(allEntries(was));
      const one = index % was;
      expect(entriesOf(restore, "broadcast")).toEqual(
        indices(entriesAt(one)).map((i) => String(entry(one, i))),
      );
    }
  });

  test("what a job was restored with is dealt out to its own subtasks as it was to them", () => {
    const stored = [
      ...deal({ subtasks: indices(was).map((index) => snapshotOf(index, was)) }, planOf(was), planOf(is)),
    ];
    const subtasks = stored.map(([subtask, restore]) => subtaskSnapshot({ subtask, ...restore }));
    const again = assign({ subtasks }, planOf(is), planOf(is));
    for (const [index, restore] of restores.entries())
      for (const state of ["list", "union", "own"] as const)
        expect(entriesOf(again.get(`v/${index}`)!, state)).toEqual(entriesOf(restore, state));
  });

  test("what a subtask has to itself stays with it while it is there, and is never lost or doubled", () => {
    expect(restores.flatMap((restore) => entriesOf(restore, "own")).sort()).toEqual(allEntries(was).sort());
    for (let index = 0; index < Math.min(was, is); index++)
      expect(entriesOf(restores[index]!, "own")).toEqual(
        expect.arrayContaining(indices(entriesAt(index)).map((i) => String(entry(index, i)))),
      );
  });

  test("each transaction comes to one subtask, to its own writer while that is there", () => {
    const dealt = restores.flatMap(({ transactions }, index) =>
      transactions.map(({ writer, checkpointId }) => ({ index, writer, checkpointId })),
    );
    expect(dealt.map(({ writer, checkpointId }) => `${writer}@${checkpointId}`).sort()).toEqual(
      indices(was)
        .flatMap((writer) => [`${writer}@6`, `${writer}@7`])
        .sort(),
    );
    for (const { index, writer } of dealt) if (writer < is) expect(index).toBe(writer);
  });

  test("each record of a channel comes to the subtask that has its key, or to one, or to each, in the order of its sender", () => {
    const got = (edge: string) =>
      restores.map(({ channels }) =>
        channels
          .filter((one) => one.edge === edge)
          .map(({ from, offset }) => `${from}>${Math.floor(offset / 10)} ${offset % 10}`),
      );
    for (const [index, { channels }] of restores.entries())
      for (const { to, rescaled } of channels) {
        expect(to).toBe(index);
        expect(rescaled === true).toBe(was !== is);
      }
    const stored = indices(was).flatMap((to) => [`0>${to} 0`, `0>${to} 1`, `1>${to} 0`, `1>${to} 1`]);
    expect(got("rebalance").flat().sort()).toEqual([...stored].sort());
    for (const [index, some] of got("broadcast").entries())
      expect(some).toEqual(stored.filter((one) => one.includes(`>${index % was} `)));
    for (let keyGroup = 0; keyGroup < KEY_GROUPS; keyGroup++) {
      const [from, to] = [ownerOf(keyGroup, was, KEY_GROUPS), ownerOf(keyGroup, is, KEY_GROUPS)];
      expect(got("hash")[to]!.filter((one) => one.includes(`>${from} `))).toEqual(
        stored.filter((one) => one.includes(`>${from} `)),
      );
    }
  });
});

test("under another parallelism, what a finished subtask held goes to those that run, and all run", () => {
  const subtasks = [0, 1, 2].map((index) => ({ ...snapshotOf(index, 3), finished: index === 2 }));
  const all = assign({ subtasks }, planOf(3), planOf(2));
  const restores = [0, 1].map((index) => all.get(`v/${index}`)!);
  expect(restores.map(({ finished }) => finished)).toEqual([false, false]);
  expect(restores.flatMap((restore) => entriesOf(restore, "list"))).toEqual(allEntries(3));
  const keyGroups = restores.map(({ states }) =>
    states
      .flatMap((state) => (state.kind === "keyed" ? state.pieces : []))
      .flatMap(({ content }) => [...(content as Uint8Array)]),
  );
  for (let keyGroup = 0; keyGroup < KEY_GROUPS; keyGroup++)
    expect(keyGroups[ownerOf(keyGroup, 2, KEY_GROUPS)]).toContain(keyGroup);
});

describe("under unchanged parallelism", () => {
  test.each(PARALLELISMS)("each of %i subtasks gets back what it had", (parallelism) => {
    for (const [index, restore] of assigned(parallelism, parallelism).entries()) {
      const { states, transactions, channels } = snapshotOf(index, parallelism);
      const ownStates = states.filter((state) => state.kind !== "operator" || state.state !== "union");
      expect(restore.states.filter((state) => state.kind !== "operator" || state.state !== "union")).toEqual(
        ownStates,
      );
      expect(restore).toMatchObject({ transactions, channels, finished: false });
    }
  });

  test("a subtask that had finished has finished, and a dropped operator gets nothing", () => {
    const plan = planOf(2);
    const subtasks = [0, 1].map((index) => ({ ...snapshotOf(index, 2), finished: index === 1 }));
    expect([...assign({ subtasks }, plan, plan)].map(([name, { finished }]) => [name, finished])).toEqual([
      ["in/0", false],
      ["in/1", false],
      ["v/0", false],
      ["v/1", true],
    ]);
    expect(assign({ subtasks }, plan, plan, ["v"]).get("v/0")).toMatchObject({
      states: [],
      transactions: [],
    });
  });
});

test.each(["list", "union"] as const)(
  "values of two versions stay apart, and none is lost: %s, of subtasks that finished before the migration and others",
  (distribution) => {
    for (const [was, is] of PAIRS) {
      const subtasks = indices(was).map((index) =>
        subtaskSnapshot({
          subtask: `v/${index}`,
          states: [{ ...operatorState(distribution, index), ...(index % 2 === 1 && { version: "2" }) }],
        }),
      );
      const dealt = [...assign({ subtasks }, planOf(was), planOf(is))].filter(([name]) =>
        name.startsWith("v/"),
      );
      const [first] = dealt;
      const found = (distribution === "union" ? [first!] : dealt).flatMap(([, { states }]) =>
        states.flatMap((state) =>
          state.kind === "operator" ? state.entries.map(([from, i]) => [from, i, state.version]) : [],
        ),
      );
      const expected = indices(was).flatMap((index) =>
        indices(entriesAt(index)).map((i) => [index, i, index % 2 === 1 ? "2" : undefined]),
      );
      expect(found.sort()).toEqual(expected.sort());
    }
  },
);
