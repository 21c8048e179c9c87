/** The words in which the stories of a job are told. */

import { jobMachine } from "../../../machines/leader/job.ts";
import type { JobEvent, JobInput, RecordFacts } from "../../../machines/leader/job-events.ts";
import type { Scenario } from "../trace.ts";

export const take = (event: JobEvent) => ({ event });
const facts = (some: Partial<RecordFacts>): RecordFacts => ({
  generation: 0,
  // One region, unless a story says otherwise.
  generations: some.generation === undefined ? [] : [some.generation],
  status: "created",
  settleTo: null,
  reservedCheckpointId: 0,
  completed: 0,
  allFinished: false,
  ...some,
});
export const stored = (some: Partial<RecordFacts>) => take({ type: "record.stored", facts: facts(some) });
export const refused = (some: Partial<RecordFacts>) => take({ type: "record.refused", facts: facts(some) });
export const lost = take({ type: "record.lost" });
export const planned = take({ type: "recovery.planned" });
export const slots = take({ type: "slots.available" });
export const restored = (subtask: string, generation = 1) =>
  take({ type: "subtask.restored", generation, subtask });
export const ended = (subtask: string, generation = 1) =>
  take({ type: "subtask.ended", generation, subtask });
export const committed = (subtask: string, upTo: number, generation = 1) =>
  take({ type: "subtask.committed", generation, subtask, upTo });
export const subtaskFailed = (generation = 1, retry: "restart" | "never" = "restart") =>
  take({ type: "subtask.failed", generation, subtask: "count/0", reason: "division by zero", retry });
export const workerLost = (generation = 1) =>
  take({
    type: "worker.lost",
    generations: [generation],
    worker: "w1",
    reason: "nothing answers to its name",
  });
export const deploymentFailed = (generation = 1) =>
  take({ type: "deployment.failed", generation, reason: "worker w1 has loaded another version" });
export const completed = (
  checkpointId: number,
  reason: "periodic" | "final" | "suspend" | "stop" = "periodic",
  allFinished = false,
) => take({ type: "checkpoint.completed", checkpointId, reason, allFinished });
export const granted = take({ type: "restart.granted", delayMs: 1000 });
export const denied = take({ type: "restart.denied" });
export const cancel = take({ type: "cancel.requested" });
export const suspend = take({ type: "suspend.requested", boundMs: 20_000 });
export const stop = (drain = false) =>
  take({ type: "stop.requested", request: "s1", savepoint: "/savepoints", drain });
export const stopFailed = (request = "s1") => take({ type: "stop.failed", request, reason: "declined" });
export const requestsRefused = (...requests: string[]) =>
  take({ type: "requests.refused", requests, reason: "some-subtasks-ended" });
export const fired = (timer: string) => take({ type: "timer.fired", timer });

/** Generation by generation, until records flow. */
export const deploying = (generation = 1, some: Partial<RecordFacts> = {}) => [
  planned,
  slots,
  stored({ generation, status: "running", ...some }),
];
export const restoring = (generation = 1) => [
  restored("lines/0", generation),
  restored("count/0", generation),
];
export const firstRun = [stored({}), ...deploying(), ...restoring()];

export const story = (title: string, steps: Scenario["steps"], input: Partial<JobInput> = {}): Scenario => ({
  title,
  actors: {
    job: {
      machine: jobMachine,
      input: {
        regions: [["count/0", "lines/0"]],
        deployTimeoutMs: 120_000,
        settleRetryMs: 500,
        ...input,
      },
    },
  },
  steps,
});
