/** What a leader says of a job. */
import type { JobReport } from "../../src/control/messages.ts";

type Changes = Partial<Omit<JobReport, "checkpoints">> & {
  readonly read?: number;
  readonly checkpoints?: Partial<JobReport["checkpoints"]>;
};

export function report({ read = 0, checkpoints, ...changes }: Changes = {}): JobReport {
  const subtask = { worker: "w", generation: 1, state: "running", checkpoints: [] };
  return {
    job: "j",
    incarnation: "i",
    generation: 1,
    generations: [1],
    status: "running",
    phase: "running.processing",
    leader: "l",
    workers: [],
    subtasks: [
      { ...subtask, subtask: "in/0", recordsIn: read, skipped: null, operators: [] },
      { ...subtask, subtask: "count/0", recordsIn: 7, skipped: null, operators: [] },
    ],
    eventTime: [],
    restarts: 0,
    keepsState: true,
    failures: [],
    waitingFor: "",
    unansweredRequests: 0,
    troubles: [],
    ...changes,
    checkpoints: {
      completed: 0,
      aborted: 0,
      latest: null,
      latestAborted: null,
      pending: [],
      pendingMore: 0,
      queued: 0,
      failed: [],
      hold: "",
      ...checkpoints,
    },
  };
}
