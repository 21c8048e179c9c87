/** How the regions of a job fail and come back: two that exchange nothing, `lines` and `count`. (J6) */
import type { RecordFacts } from "../../../machines/leader/job-events.ts";
import type { Scenario } from "../trace.ts";
import {
  cancel,
  committed,
  completed,
  denied,
  ended,
  fired,
  granted,
  planned,
  restored,
  slots,
  stop,
  stored as storedOf,
  story as storyOf,
  suspend,
  take,
} from "./job-words.ts";

const REGIONS = [["count/0"], ["lines/0"]];

const story = (title: string, steps: Scenario["steps"]): Scenario =>
  storyOf(title, steps, { regions: REGIONS });

/** What the record says, the generations of `count` and `lines` first. */
const stored = (generations: readonly number[], some: Partial<RecordFacts> = {}) =>
  storedOf({ generation: Math.max(...generations), generations, status: "running", ...some });

const failed = (subtask: string, generation: number, retry: "restart" | "never" = "restart") =>
  take({ type: "subtask.failed", generation, subtask, reason: "division by zero", retry });
const workerLost = (...generations: number[]) =>
  take({ type: "worker.lost", generations, worker: "w1", reason: "nothing answers to its name" });
const refused = (generation: number) =>
  take({ type: "deployment.failed", generation, reason: "worker w1 has loaded another version" });

const claimed = storedOf({});
const bothRun = [claimed, planned, slots, stored([1, 2]), restored("count/0", 1), restored("lines/0", 2)];
const again = (generations: readonly number[], some: Partial<RecordFacts> = {}) => [
  granted,
  fired("restart"),
  planned,
  slots,
  stored(generations, some),
];

export const regionStories: Readonly<Record<string, Scenario>> = {
  "region-fails": story(
    "One of two regions fails and starts again alone, from the last checkpoint; the other goes on.   (J6, D1, P2)",
    [
      "Each has a generation of its own.",
      ...bothRun,
      completed(1),
      committed("count/0", 1, 1),
      "The other one's commit comes while the first is down: it is not lost.",
      failed("count/0", 1),
      committed("lines/0", 1, 2),
      "A generation that is over is not heard.",
      failed("count/0", 1),
      "Only what is down is raised and deployed.",
      ...again([3, 2], { completed: 1 }),
      "Checkpoints are taken again when both run.",
      restored("count/0", 3),
    ],
  ),
  "region-input-ends": story("What has ended its input has, whatever becomes of the other region.   (P19)", [
    ...bothRun,
    ended("lines/0", 2),
    failed("count/0", 1),
    ...again([3, 2]),
    restored("count/0", 3),
    "The last one: the final checkpoint is asked for.",
    ended("count/0", 3),
  ]),
  "regions-one-by-one": story(
    "The second region fails while the first one is down, whatever the job does just then: both belong to one attempt, and both start again.   (J6, P2, R1)",
    [
      ...bothRun,
      "While the strategy is asked.",
      failed("count/0", 1),
      workerLost(1),
      workerLost(1, 2),
      ...again([3, 4]),
      restored("count/0", 3),
      restored("lines/0", 4),
      "While the restart is waited for.",
      workerLost(3),
      granted,
      refused(3),
      failed("count/0", 3),
      failed("lines/0", 4),
      ...again([5, 6]),
      restored("count/0", 5),
      restored("lines/0", 6),
      "While facts are read.",
      failed("count/0", 5),
      granted,
      fired("restart"),
      workerLost(5),
      workerLost(6),
      ...again([7, 8]),
      restored("count/0", 7),
      restored("lines/0", 8),
      "While slots are waited for.",
      workerLost(7),
      granted,
      fired("restart"),
      planned,
      failed("lines/0", 8),
      ...again([9, 10]),
      "While the first is being restored: it goes on with that, and only the second is raised again.",
      restored("lines/0", 10),
      workerLost(10),
      restored("count/0", 9),
      ...again([9, 11]),
      restored("lines/0", 11),
    ],
  ),
  "region-slow": story("A region that is not restored in time is torn down; the other one is not.   (J6)", [
    ...bothRun,
    failed("count/0", 1),
    ...again([3, 2]),
    fired("deploy"),
    ...again([4, 2]),
    restored("count/0", 4),
  ]),
  "region-of-drained": story(
    "A region fails while the job drains: the other one's sources have ended and would never read the rest, so both start again.   (J6, P19)",
    [
      ...bothRun,
      stop(true),
      ended("lines/0", 2),
      failed("count/0", 1),
      ...again([3, 4]),
      restored("count/0", 3),
      restored("lines/0", 4),
      stop(true),
      workerLost(3),
      ...again([5, 6]),
      restored("count/0", 5),
      restored("lines/0", 6),
      stop(true),
      refused(5),
    ],
  ),
  "region-settles": story(
    "No restart is granted: what the region that goes on has not committed yet is committed by a generation that only settles.   (J6, P18)",
    [
      ...bothRun,
      completed(1),
      failed("count/0", 1, "never"),
      denied,
      stored([1, 2], { status: "settling", settleTo: "failed", completed: 1 }),
      fired("restart"),
      planned,
      slots,
      stored([3, 4], { status: "settling", settleTo: "failed", completed: 1 }),
      restored("count/0", 3),
      restored("lines/0", 4),
      stored([3, 4], { status: "failed", completed: 1 }),
    ],
  ),
  "region-canceled": story(
    "Canceled while one region is down, and everything decided is committed: no generation is deployed for it.   (P18)",
    [
      ...bothRun,
      completed(1),
      committed("count/0", 1, 1),
      failed("count/0", 1),
      granted,
      committed("lines/0", 1, 2),
      cancel,
      stored([1, 2], { status: "settling", settleTo: "canceled", completed: 1 }),
      stored([1, 2], { status: "canceled", completed: 1 }),
    ],
  ),
  "region-suspended": story("Suspended while one region is down: nothing more is read.   (P30)", [
    ...bothRun,
    failed("count/0", 1),
    granted,
    suspend,
    stored([1, 2], { status: "settling", settleTo: "suspended" }),
    stored([1, 2], { status: "suspended" }),
  ]),
};
