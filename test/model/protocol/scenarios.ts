/**
 * What is explored, each to its end: `brief` in every `npm test`, `thorough` by `npm run model`.
 *
 * Everywhere: messages and answers late, repeated, out of order or never; writes of the record whose outcome is unknown
 * until the answer comes; an old generation that runs on beside a new one where a subtask has two workers.
 */

import type { Bounds } from "./bounds.ts";
import type { AlignmentBounds } from "./worker/alignment.ts";

export interface Scenario {
  readonly name: string;
  /** What it is about. */
  readonly about: string;
  readonly bounds: Bounds | AlignmentBounds;
}

const ALONE = { s: ["X"] };
const ZOMBIES = { s: ["X", "Y"] };
const PAIR = { s: ["X"], t: ["Z"] };
/** Nothing passes from one of the two to the other. */
const REGIONS = { subtasks: PAIR, regions: [["s"], ["t"]] } as const;
const ONE: Bounds = {
  coordinators: ["A"],
  subtasks: ZOMBIES,
  records: 1,
  bounded: false,
  periodic: true,
  triggers: 1,
};
/** The input ends, and only the end of the job takes checkpoints. */
const END = { bounded: true, triggers: 0, periodic: false } as const;
const FAILING = { losses: 1, expiries: 1 } as const;
const BESIDE = { coordinators: ["A", "B"], subtasks: ALONE, triggers: 0, periodic: false } as const;
/** Only what a client asks for is taken, and that client is told. */
const ASKED = { triggers: 0, periodic: false, goal: "quiet" } as const;
/** What nothing needs goes in the end. */
const CLEAN = { objects: true, goal: "clean" } as const;
/** The state moves to another worker, beside a subtask that has nothing to read. */
const MOVED = { rescaled: { subtasks: { t: ["Y"], i: ["X"] }, heirs: { t: "s" } }, rescales: 1 } as const;
/** What a snapshot consists of counts, not what is in it. */
const COMMON: Bounds = { ...ONE, subtasks: ALONE, records: 0, triggers: 3, incremental: true, ...CLEAN };
const NEVER_AGAIN = { strategy: "none" } as const;

export const brief: readonly Scenario[] = [
  {
    name: "end of input",
    about:
      "final checkpoint, repeated after an expiry, with a generation that fails; it can always still finish (P19)",
    bounds: { ...ONE, ...END, losses: 1, expiries: 1, goal: "ended" },
  },
  {
    name: "aborts",
    about: "aborts while preparing, declined snapshots, refused manifests; transactions stay (P13, P14)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      records: 2,
      triggers: 2,
      expiries: 1,
      declines: 1,
      manifestFailures: 1,
      slowSnapshots: true,
    },
  },
  {
    name: "cancel",
    about: "cancel at any time, also during a pending decision or while a generation is being restored (P18)",
    bounds: { ...ONE, triggers: 1, losses: 1, cancels: 1, slowRecovery: true, goal: "ended" },
  },
  {
    name: "suspend",
    about: "suspend at any time, with its own checkpoint (P30)",
    bounds: { ...ONE, triggers: 1, losses: 1, suspends: 1, suspendTimeouts: 1, goal: "ended" },
  },
  {
    name: "failed for good",
    about: "no restart is granted: committers are deployed only to settle, and die while they do (P18)",
    bounds: { ...ONE, losses: 2, restart: NEVER_AGAIN, goal: "ended" },
  },
  {
    name: "two leaders",
    about: "an old leader acts beside a new one at every moment of a checkpoint (P7, P9, P11)",
    bounds: { ...ONE, coordinators: ["A", "B"], subtasks: ALONE },
  },
  {
    name: "two subtasks",
    about: "one acknowledges, declines or commits, and the other does not",
    bounds: { ...ONE, subtasks: PAIR, losses: 1, expiries: 1, declines: 1 },
  },
  {
    name: "objects",
    about: "what an abort, a dropped checkpoint and a sweep delete (P15, P16, P21)",
    bounds: { ...ONE, subtasks: ALONE, triggers: 2, ...FAILING, ...CLEAN },
  },
  {
    name: "objects in common",
    about:
      "checkpoints rest on older ones, in part or whole, two at a time; what none needs any more goes (P81)",
    bounds: { ...COMMON, maxConcurrent: 2 },
  },
  {
    name: "objects in common with savepoints",
    about: "a savepoint is copied while the checkpoint that it rests on is dropped (P81)",
    bounds: { ...COMMON, triggers: 2, requests: ["savepoint"] },
  },
  {
    name: "concurrent checkpoints",
    about:
      "the barriers of two are under way, either may be decided first, and the newer subsumes the older (C1, G7)",
    bounds: { ...ONE, subtasks: ALONE, triggers: 2, maxConcurrent: 2, losses: 1, ...CLEAN },
  },
  {
    name: "several cuts at a time",
    about:
      "a barrier comes while the state at an older one is being read; either is given up, or its generation fails (P47)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      records: 2,
      triggers: 2,
      maxConcurrent: 2,
      ...FAILING,
      slowSnapshots: true,
    },
  },
  {
    name: "savepoint",
    about:
      "beside periodic checkpoints, written or refused: it decides nothing, and the client that asked is told (K5)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      requests: ["savepoint"],
      ...FAILING,
      savepointFailures: 1,
      goal: "quiet",
    },
  },
  {
    name: "stop with savepoint",
    about:
      "sources hold behind its barrier; the job is stopped with every transaction committed, or goes on (P18)",
    bounds: { ...ONE, subtasks: ALONE, requests: ["stop"], ...FAILING, goal: "quiet" },
  },
  {
    name: "stop with drain",
    about:
      "sources end as if their input did; a job that fails meanwhile goes on as if no client had asked (P19)",
    bounds: { ...ONE, subtasks: ALONE, records: 0, requests: ["drain"], ...FAILING, goal: "quiet" },
  },
  {
    name: "tolerable failures",
    about: "one failed checkpoint too many ends the job, while another one is decided (P18)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      triggers: 2,
      maxConcurrent: 2,
      tolerableFailures: 0,
      ...{ expiries: 1, declines: 1, restart: NEVER_AGAIN, slowSnapshots: true },
    },
  },
  {
    name: "regions",
    about:
      "one of two regions fails, or both; the other goes on, and a checkpoint is decided beside it (J6, RC1)",
    bounds: { ...ONE, ...REGIONS, losses: 1 },
  },
  {
    name: "rescale",
    about:
      "a user rescales the job at any time; a generation fails, and the job goes on or goes back (P95, P93)",
    bounds: { ...ONE, ...MOVED, subtasks: ALONE, losses: 1, goal: "quiet" },
  },
  {
    name: "two channels",
    about:
      "a subtask behind two channels, one barrier late: it is acknowledged, given up or restored (C4, A1 - A6)",
    bounds: { ...ONE, subtasks: ALONE, gate: { channels: 2 }, losses: 1, expiries: 1 },
  },
  {
    name: "two channels, unaligned",
    about: "barriers overtake the records in front of them, which are stored and come again (C4, A7)",
    bounds: { ...ONE, subtasks: ALONE, gate: { channels: 2, unaligned: true }, losses: 1 },
  },
  {
    name: "feedback channel",
    about: "what is on its way back at a barrier is stored with the checkpoint and comes again (C4, A9)",
    bounds: { ...ONE, subtasks: ALONE, gate: { channels: 2, feedback: true }, losses: 1 },
  },
  {
    name: "alignment",
    about: "barriers at a gate of two channels, with aborts (A1 to A4)",
    bounds: { channels: 2, records: 1, checkpoints: 2, aborts: 1 },
  },
];

export const thorough: readonly Scenario[] = [
  ...brief,
  {
    name: "end of input, periodic",
    about:
      "periodic and final checkpoints of a bounded job, with a generation that fails and one that lives on",
    bounds: { ...ONE, bounded: true, records: 2, losses: 1, expiries: 1, goal: "ended" },
  },
  {
    name: "reports once",
    about: "each report is answered and then never repeated: none may be lost by the leader",
    bounds: {
      ...ONE,
      ...END,
      subtasks: ALONE,
      losses: 1,
      expiries: 1,
      cancels: 1,
      reportsOnce: true,
      goal: "ended",
    },
  },
  {
    name: "reports once, suspend",
    about: "the same, with a suspend",
    bounds: {
      ...ONE,
      ...END,
      subtasks: ALONE,
      losses: 1,
      expiries: 1,
      suspends: 1,
      suspendTimeouts: 1,
      reportsOnce: true,
      goal: "ended",
    },
  },
  {
    name: "two leaders, zombie workers",
    about: "old and new leader, each with a generation that runs on",
    bounds: { ...ONE, coordinators: ["A", "B"] },
  },
  {
    name: "two leaders at the end",
    about:
      "the end of input, the final checkpoint and settling, with an old leader beside the new one (P18, P19)",
    bounds: { ...ONE, ...END, coordinators: ["A", "B"], subtasks: ALONE, records: 0 },
  },
  {
    name: "crashes",
    about: "coordinator and worker crash at any time and between any two effects; a standby takes over",
    bounds: { ...ONE, coordinators: ["A", "B"], subtasks: ALONE, crashes: { A: 1, X: 1 } },
  },
  {
    name: "two leaders, objects",
    about: "what an old leader deletes beside a new one (P9, P21)",
    bounds: { ...ONE, coordinators: ["A", "B"], subtasks: ALONE, expiries: 1, triggers: 1, ...CLEAN },
  },
  {
    name: "three generations",
    about: "two of them fail; transactions pass from one to the next",
    bounds: { ...ONE, triggers: 2, losses: 2 },
  },
  {
    name: "rescale, again and again",
    about: "the same, checkpoints before and behind it, and what the former generation still does",
    bounds: { ...ONE, ...MOVED, subtasks: ALONE, triggers: 2, losses: 1, goal: "quiet" },
  },
  {
    name: "rescale that fails twice",
    about: "the new plan's generation fails, and the former plan's one behind it (RZ2)",
    bounds: { ...ONE, ...MOVED, subtasks: ALONE, losses: 2, goal: "quiet" },
  },
  {
    name: "rescale, timeouts and a cancel",
    about: "its subtasks do not come up in time, and the job may be canceled at any time (P95, P18)",
    bounds: { ...ONE, ...MOVED, subtasks: ALONE, deployTimeouts: 1, expiries: 1, cancels: 1, goal: "quiet" },
  },
  {
    name: "rescale, other regions",
    about: "two regions become one, whose generation has the place of the first (P95)",
    bounds: {
      ...{ ...ONE, ...REGIONS, losses: 1, goal: "quiet" },
      rescaled: { subtasks: { u: ["Y"], v: ["X"] }, heirs: { u: "s", v: "t" } },
      rescales: 1,
    },
  },
  {
    name: "rescale, objects in common",
    about: "checkpoints under either plan, and what the former one's have left is deleted (P81, P95)",
    bounds: { ...COMMON, ...MOVED, triggers: 2, losses: 1 },
  },
  {
    name: "objects in common, again and again",
    about:
      "the same, and a checkpoint is given up, a generation fails and the next one rests on what it restores",
    bounds: { ...COMMON, ...FAILING },
  },
  {
    name: "objects in common, two retained",
    about: "the same, and the record keeps two checkpoints (P16, P81)",
    bounds: { ...COMMON, maxConcurrent: 2, retained: 2, expiries: 1 },
  },
  {
    name: "objects of an ended job",
    about: "the same, and what the end of the job deletes (P16, P18)",
    bounds: { ...ONE, subtasks: ALONE, triggers: 2, objects: true, losses: 1, expiries: 1, cancels: 1 },
  },
  {
    name: "commits that fail",
    about: "a commit fails and is tried again, by its own generation or by the next (P17, T3)",
    bounds: { ...ONE, records: 2, triggers: 2, losses: 1, commitFailures: 2 },
  },
  {
    name: "aborts, more of them",
    about:
      "three checkpoints, of which two are given up in whatever way; their transactions commit with the third (P14, P17)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      records: 3,
      triggers: 3,
      expiries: 2,
      declines: 1,
      manifestFailures: 1,
      slowSnapshots: true,
    },
  },
  {
    name: "alignment, more of it",
    about: "the same with more records and aborts",
    bounds: { channels: 2, records: 2, checkpoints: 2, aborts: 2 },
  },
  {
    name: "two channels, again and again",
    about: "the same, and a second checkpoint behind one that was given up at some of its barriers (A4, A5)",
    bounds: { ...ONE, subtasks: ALONE, gate: { channels: 2 }, triggers: 2, losses: 1, expiries: 1 },
  },
  {
    name: "two channels, unaligned, again",
    about:
      "a checkpoint is given up while overtaken records are collected; the next one stores some of them again (A7, P35)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      gate: { channels: 2, unaligned: true },
      triggers: 2,
      expiries: 1,
    },
  },
  {
    name: "feedback channel, more records",
    about: "the same with a second record, and a checkpoint that is given up (A9, P41)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      records: 2,
      gate: { channels: 2, feedback: true },
      losses: 1,
      expiries: 1,
    },
  },
  {
    name: "teardown",
    about: "old generations are told to end, in the middle of whatever they do",
    bounds: { ...ONE, triggers: 2, losses: 1, expiries: 1, teardown: true, slowSnapshots: true },
  },
  {
    name: "concurrent, two subtasks",
    about:
      "the same, and one of two subtasks is at the newer barrier while the other has not seen the older one",
    bounds: { ...ONE, subtasks: PAIR, triggers: 2, maxConcurrent: 2, slowSnapshots: true },
  },
  {
    name: "regions, again and again",
    about: "the second region fails while the first one is down, or after it (J6, R1)",
    bounds: { ...ONE, ...REGIONS, losses: 2 },
  },
  {
    name: "regions, objects",
    about: "what a sweep deletes beside a region that goes on (P21)",
    bounds: { ...ONE, ...REGIONS, triggers: 2, losses: 1, ...CLEAN },
  },
  {
    name: "regions and a stop",
    about: "a region fails while the sources of the other one hold behind the savepoint's barrier (J6, P38)",
    bounds: { ...ONE, ...REGIONS, ...FAILING, ...ASKED, requests: ["stop"] },
  },
  {
    name: "regions and a drain",
    about: "a region fails while the other one's sources have ended as if their input did (J6, P19)",
    bounds: { ...ONE, ...REGIONS, ...ASKED, records: 0, requests: ["drain"], losses: 1 },
  },
  {
    name: "regions at the end",
    about:
      "one region has ended its input, the other one fails; the job may be canceled at any time (P18, P19)",
    bounds: { ...ONE, ...REGIONS, bounded: true, records: 0, losses: 1, cancels: 1, goal: "ended" },
  },
  {
    name: "tolerable failures in a row",
    about:
      "checkpoints fail before, beside and behind completed ones, also by themselves; only a streak of them counts (G10)",
    bounds: {
      ...ONE,
      subtasks: ALONE,
      triggers: 3,
      maxConcurrent: 2,
      tolerableFailures: 1,
      ...{ expiries: 2, manifestFailures: 1, restart: NEVER_AGAIN },
    },
  },
  {
    name: "savepoint that waits",
    about: "savepoints wait for a free place, as they do with unaligned checkpoints (G6)",
    bounds: { ...ONE, requests: ["savepoint"], savepointsWait: true, ...FAILING, goal: "quiet" },
  },
  {
    name: "savepoints and a drain",
    about: "two savepoints, of which one waits for the other, beside a drain: each client is told (G6, G11)",
    bounds: {
      ...ONE,
      ...ASKED,
      subtasks: ALONE,
      records: 0,
      requests: ["savepoint", "cancel", "drain"],
      savepointsMax: 1,
      losses: 1,
    },
  },
  {
    name: "savepoint and cancel",
    about:
      "the job fails while the savepoint is stored that it is to be canceled with, and decides more (P38)",
    bounds: { ...ONE, subtasks: ALONE, requests: ["cancel"], triggers: 2, losses: 1, goal: "quiet" },
  },
  {
    name: "savepoint of two leaders",
    about: "the leader changes anywhere between a savepoint, its entry and its answer; its client asks again",
    bounds: { ...ONE, ...BESIDE, requests: ["savepoint"] },
  },
  {
    name: "stop, zombie workers",
    about: "a generation fails while the job stops, and lives on beside the next one",
    bounds: { ...ONE, requests: ["stop"], ...FAILING, goal: "quiet" },
  },
  {
    name: "stop and crashes",
    about: "the worker crashes at any time and between any two effects while the job stops with a savepoint",
    bounds: { ...ONE, subtasks: ALONE, requests: ["stop"], triggers: 0, losses: 1, crashes: { X: 1 } },
  },
  {
    name: "drain, two subtasks",
    about: "one subtask has finished and the other has not when the generation fails (P19)",
    bounds: { ...ONE, subtasks: PAIR, records: 0, requests: ["drain"], losses: 1 },
  },
];
