/** The life of a job. A trace changes only with the protocol: update one only if you can say why. */
import { type JobEvent, type JobInput, jobMachine, type RecordFacts } from "../../machines/job.ts";
import { describeTraces } from "./golden.ts";
import type { Scenario } from "./trace.ts";

const take = (event: JobEvent) => ({ event });
const facts = (some: Partial<RecordFacts>): RecordFacts => ({
  generation: 0,
  status: "created",
  settleTo: null,
  reservedCheckpointId: 0,
  completed: 0,
  allFinished: false,
  ...some,
});
const stored = (some: Partial<RecordFacts>) => take({ type: "record.stored", facts: facts(some) });
const refused = (some: Partial<RecordFacts>) => take({ type: "record.refused", facts: facts(some) });
const lost = take({ type: "record.lost" });
const planned = take({ type: "recovery.planned" });
const slots = take({ type: "slots.available" });
const restored = (subtask: string, generation = 1) => take({ type: "subtask.restored", generation, subtask });
const ended = (subtask: string, generation = 1) => take({ type: "subtask.ended", generation, subtask });
const committed = (subtask: string, upTo: number, generation = 1) =>
  take({ type: "subtask.committed", generation, subtask, upTo });
const subtaskFailed = (generation = 1, retry: "restart" | "never" = "restart") =>
  take({ type: "subtask.failed", generation, subtask: "count/0", reason: "division by zero", retry });
const workerLost = (generation = 1) =>
  take({ type: "worker.lost", generation, worker: "w1", reason: "nobody answers to its name" });
const deploymentFailed = (generation = 1) =>
  take({ type: "deployment.failed", generation, reason: "worker w1 has loaded another version" });
const completed = (
  checkpointId: number,
  reason: "periodic" | "final" | "suspend" | "stop" = "periodic",
  allFinished = false,
) => take({ type: "checkpoint.completed", checkpointId, reason, allFinished });
const granted = take({ type: "restart.granted", delayMs: 1000 });
const denied = take({ type: "restart.denied" });
const cancel = take({ type: "cancel.requested" });
const suspend = take({ type: "suspend.requested" });
const stop = (drain = false) =>
  take({ type: "stop.requested", request: "s1", savepoint: "/savepoints", drain });
const stopFailed = (request = "s1") => take({ type: "stop.failed", request, reason: "declined" });
const fired = (timer: string) => take({ type: "timer.fired", timer });

/** Generation by generation, until records flow. */
const deploying = (generation = 1, some: Partial<RecordFacts> = {}) => [
  planned,
  slots,
  stored({ generation, status: "running", ...some }),
];
const restoring = (generation = 1) => [restored("lines/0", generation), restored("count/0", generation)];
const firstRun = [stored({}), ...deploying(), ...restoring()];

const story = (title: string, steps: Scenario["steps"], input: Partial<JobInput> = {}): Scenario => ({
  title,
  actors: {
    job: {
      machine: jobMachine,
      input: {
        subtasks: ["count/0", "lines/0"],
        deployTimeoutMs: 120_000,
        settleRetryMs: 500,
        ...input,
      },
    },
  },
  steps,
});

describeTraces({
  machine: jobMachine,
  scenarios: {
    "bounded-job": story("A bounded job from its first deployment to its end.   (J1 - J4, P2, P18, P19)", [
      "The leader's token goes into the record before anything else.",
      stored({}),
      planned,
      slots,
      "Generation 1 is durable: now the workers hear of it.",
      stored({ generation: 1, status: "running" }),
      restored("lines/0"),
      "Messages of other generations change nothing, nor do repetitions.",
      restored("count/0", 0),
      restored("lines/0"),
      "The last one: sources start.",
      restored("count/0"),
      completed(1),
      committed("count/0", 1, 0),
      committed("count/0", 1),
      committed("lines/0", 1),
      "All input is processed, one subtask after the other.",
      ended("lines/0"),
      ended("count/0", 0),
      ended("count/0"),
      "The final checkpoint: no new input from here on.",
      completed(2, "final", true),
      committed("count/0", 2),
      "The record says settling; the last transactions are still being committed.",
      stored({ generation: 1, status: "settling", settleTo: "finished", completed: 2, allFinished: true }),
      committed("lines/0", 1),
      committed("lines/0", 2),
      "Everything decided is committed: the end is made durable, and only then may anything be deleted.",
      stored({ generation: 1, status: "finished" }),
    ]),
    "stop-with-savepoint": story(
      "Stop with a savepoint: sources emit nothing behind its barrier, its transactions are committed, then the end.   (P18)",
      [
        ...firstRun,
        stop(),
        "Some input ends meanwhile.",
        ended("lines/0", 0),
        ended("lines/0"),
        completed(1, "stop"),
        stored({ generation: 1, status: "settling", settleTo: "stopped", completed: 1 }),
        committed("count/0", 1),
        committed("lines/0", 1),
        stored({ generation: 1, status: "stopped" }),
      ],
    ),
    "stop-failed": story(
      "The savepoint fails: the job goes on, and may be stopped again.   (Flink's stop-with-savepoint)",
      [
        ...firstRun,
        stop(),
        "Of another request.",
        stopFailed("s0"),
        stopFailed(),
        stop(),
        completed(2, "stop"),
      ],
    ),
    "stop-drained": story(
      "Stop with drain: sources end as if their input did, every operator finishes, then the savepoint.   (P19)",
      [
        ...firstRun,
        stop(true),
        ended("lines/0"),
        ended("count/0", 0),
        ended("count/0"),
        completed(1, "stop", true),
        stored({ generation: 1, status: "settling", settleTo: "stopped", completed: 1, allFinished: true }),
      ],
    ),
    "stopped-while-failing": story(
      "The savepoint that the job stops with is decided while its generation fails: nobody goes on behind it.   (D3, P18)",
      [...firstRun, stop(), workerLost(), completed(1, "stop")],
    ),
    "stopped-while-backing-off": story(
      "The same, a little later: another generation is deployed only to commit.   (D3, P18)",
      [
        ...firstRun,
        stop(),
        workerLost(),
        granted,
        completed(1, "stop"),
        stored({ generation: 1, status: "settling", settleTo: "stopped", completed: 1 }),
      ],
    ),
    "drained-savepoint-failed": story(
      "The savepoint of a drained job fails: what has finished cannot go on, so the job restarts from its last checkpoint.",
      [...firstRun, stop(true), ended("lines/0"), ended("count/0"), stopFailed(), granted],
    ),
    "too-many-failed-checkpoints": story(
      "One failed checkpoint more than is tolerated: the generation fails.   (CheckpointFailureManager)",
      [...firstRun, take({ type: "checkpoints.failed", checkpointId: 4, reason: "expired" }), granted],
    ),
    "committed-before-settling": story(
      "The last commit is reported before the record says settling.   (P18)",
      [
        ...firstRun,
        ended("lines/0"),
        ended("count/0"),
        completed(1, "final", true),
        committed("count/0", 1, 0),
        committed("count/0", 1),
        committed("lines/0", 1),
        stored({ generation: 1, status: "settling", settleTo: "finished", completed: 1, allFinished: true }),
        stored({ generation: 1, status: "finished" }),
      ],
    ),
    "final-by-chance": story(
      "A periodic checkpoint finds every subtask finished: as good as the forced one.   (P19)",
      [...firstRun, ended("lines/0"), completed(1, "periodic", true)],
    ),
    restart: story(
      "A subtask fails: a new generation from the last checkpoint, raised before it is told.   (J2, P2)",
      [
        ...firstRun,
        completed(1),
        "Messages of the generation before are no failure of this one.",
        subtaskFailed(0),
        workerLost(0),
        deploymentFailed(0),
        subtaskFailed(),
        granted,
        "A timer of another name is not the delay.",
        fired("deploy"),
        fired("restart"),
        ...deploying(2, { completed: 1, reservedCheckpointId: 1000 }),
        ...restoring(2),
      ],
    ),
    "worker-lost": story("A worker dies while its subtasks run.   (P5, P28)", [
      ...firstRun,
      workerLost(),
      granted,
    ]),
    "failures-while-deploying": story(
      "Whatever fails until the job runs belongs to the deployment.   (P2, P5)",
      [
        stored({}),
        ...deploying(),
        "Messages of other generations change nothing.",
        subtaskFailed(0),
        workerLost(0),
        deploymentFailed(0),
        deploymentFailed(),
        granted,
        fired("restart"),
        ...deploying(2),
        workerLost(2),
        granted,
        fired("restart"),
        ...deploying(3),
        subtaskFailed(3),
        granted,
        fired("restart"),
        ...deploying(4),
        fired("restart"),
        fired("deploy"),
      ],
    ),
    "deployment-refused": story("A running generation is told that a worker refuses it after all.   (P29)", [
      ...firstRun,
      deploymentFailed(),
    ]),
    "decided-during-recovery": story(
      "A checkpoint is decided after recovery was planned: the generation is refused, and planned anew.   (D2, P20)",
      [
        ...firstRun,
        completed(1),
        subtaskFailed(),
        "Its outcome was unknown when the generation stopped.",
        completed(2),
        granted,
        fired("restart"),
        planned,
        slots,
        "The record names checkpoint 3: nobody had told the job yet.",
        refused({ generation: 1, status: "running", completed: 3 }),
        completed(3),
        planned,
        slots,
        stored({ generation: 2, status: "running", completed: 3 }),
      ],
    ),
    "decided-during-delay": story("The news of a decision come while the restart is delayed.   (P8)", [
      ...firstRun,
      subtaskFailed(),
      granted,
      completed(1),
      fired("restart"),
    ]),
    "restart-denied": story("The restart strategy says no: settled all the same, then failed.   (P17, P18)", [
      ...firstRun,
      completed(1),
      committed("lines/0", 1),
      subtaskFailed(1, "never"),
      denied,
      "Checkpoint 1 is decided and not committed everywhere, and nobody is left to do it.",
      stored({ generation: 1, status: "settling", settleTo: "failed", completed: 1 }),
      ...deploying(2, { status: "settling", settleTo: "failed", completed: 1 }),
      "Restored means committed: no start is sent.",
      ...restoring(2),
      stored({ generation: 2, status: "failed", completed: 1 }),
    ]),
    "cancel-running": story("Canceled while it runs: decided transactions first.   (J4, P18)", [
      ...firstRun,
      completed(1),
      committed("lines/0", 1),
      cancel,
      stored({ generation: 1, status: "settling", settleTo: "canceled", completed: 1 }),
      "Messages of other generations change nothing.",
      committed("count/0", 1, 0),
      subtaskFailed(0),
      workerLost(0),
      deploymentFailed(0),
      restored("count/0", 0),
      committed("count/0", 1),
      stored({ generation: 1, status: "canceled" }),
    ]),
    "cancel-before-start": story("Canceled before anything ran: nothing was decided.   (P18)", [
      stored({}),
      cancel,
      stored({ status: "settling", settleTo: "canceled" }),
      stored({ status: "canceled" }),
    ]),
    "cancel-waiting": story("Canceled while it waits for workers.   (P18)", [stored({}), planned, cancel]),
    "cancel-restoring": story(
      "Canceled while subtasks restore: those still at it report that they are done by being restored.   (P18, S4)",
      [
        stored({ generation: 1, status: "running", completed: 5 }),
        ...deploying(2, { completed: 5 }),
        restored("lines/0", 2),
        cancel,
        restored("count/0", 1),
        restored("lines/0", 2),
        stored({ generation: 2, status: "settling", settleTo: "canceled", completed: 5 }),
        restored("lines/0", 2),
        restored("count/0", 2),
        stored({ generation: 2, status: "canceled" }),
      ],
    ),
    "cancel-restored-meanwhile": story(
      "The last subtask is restored while the cancellation is being stored.   (P18)",
      [
        stored({ generation: 1, status: "running", completed: 5 }),
        ...deploying(2, { completed: 5 }),
        restored("lines/0", 2),
        cancel,
        restored("count/0", 2),
        stored({ generation: 2, status: "settling", settleTo: "canceled", completed: 5 }),
      ],
    ),
    "cancel-backing-off": story("Canceled while the restart is delayed.   (P18)", [
      ...firstRun,
      subtaskFailed(),
      granted,
      cancel,
    ]),
    suspend: story(
      "Suspended: one more checkpoint, settle, and the job can be resumed from it.   (P18, P30)",
      [
        ...firstRun,
        suspend,
        "A periodic checkpoint was under way; it is not the one.",
        completed(1),
        committed("lines/0", 1),
        completed(2, "suspend"),
        committed("lines/0", 2),
        stored({ generation: 1, status: "settling", settleTo: "suspended", completed: 2 }),
        committed("count/0", 2),
        stored({ generation: 1, status: "suspended", completed: 2 }),
      ],
    ),
    "suspend-restoring": story("Suspended while subtasks restore: as soon as it runs.   (P30)", [
      stored({}),
      ...deploying(),
      suspend,
      ...restoring(),
    ]),
    "suspend-failing": story(
      "The generation fails before the checkpoint: the last one is what is kept.   (P30)",
      [...firstRun, suspend, subtaskFailed(), granted],
    ),
    "suspend-stopped": story(
      "Suspended while nothing runs: what the last checkpoint holds is all there is.   (P30)",
      [stored({}), suspend, stored({ status: "settling", settleTo: "suspended" })],
    ),
    "suspend-waiting": story("Suspended while it waits for workers.   (P30)", [stored({}), planned, suspend]),
    "suspend-backing-off": story("Suspended while the restart is delayed.   (P30)", [
      ...firstRun,
      subtaskFailed(),
      granted,
      suspend,
    ]),
    "committer-dies": story(
      "A committer dies while settling: another generation, only to commit.   (P17, P18)",
      [
        ...firstRun,
        completed(1),
        cancel,
        stored({ generation: 1, status: "settling", settleTo: "canceled", completed: 1 }),
        workerLost(),
        "No strategy is asked: what is decided is committed, for as long as it takes.",
        fired("commit"),
        fired("restart"),
        "Too late to cancel or suspend: it is ending already.",
        cancel,
        suspend,
        planned,
        cancel,
        suspend,
        slots,
        stored({ generation: 2, status: "settling", settleTo: "canceled", completed: 1 }),
        cancel,
        "The deployment fails as well. Again.",
        fired("deploy"),
        fired("restart"),
        ...deploying(3, { status: "settling", settleTo: "canceled", completed: 1 }),
        deploymentFailed(3),
        fired("restart"),
        ...deploying(4, { status: "settling", settleTo: "canceled", completed: 1 }),
        subtaskFailed(4),
        fired("restart"),
        ...deploying(5, { status: "settling", settleTo: "canceled", completed: 1 }),
        workerLost(5),
      ],
    ),
    "committer-fails": story("So it is when a subtask or its deployment fails while settling.   (P17, P18)", [
      ...firstRun,
      completed(1),
      cancel,
      stored({ generation: 1, status: "settling", settleTo: "canceled", completed: 1 }),
      subtaskFailed(),
      fired("restart"),
    ]),
    "committer-refused": story("A refused deployment while settling.   (P17, P18)", [
      ...firstRun,
      completed(1),
      cancel,
      stored({ generation: 1, status: "settling", settleTo: "canceled", completed: 1 }),
      deploymentFailed(),
    ]),
    "commit-unmendable": story(
      "While settling, a transaction turns out to be uncommittable: the job stops resumably.   (P24)",
      [
        ...firstRun,
        completed(1),
        cancel,
        stored({ generation: 1, status: "settling", settleTo: "canceled", completed: 1 }),
        subtaskFailed(1, "never"),
        stored({ generation: 1, status: "failed", completed: 1 }),
      ],
    ),
    "settle-unmendable": story(
      "So it is when the generation that only settles finds it while restoring.   (P24)",
      [
        stored({ generation: 4, status: "settling", settleTo: "canceled", completed: 9 }),
        ...deploying(5, { status: "settling", settleTo: "canceled", completed: 9 }),
        subtaskFailed(5, "never"),
        stored({ generation: 5, status: "failed", completed: 9 }),
      ],
    ),
    "takeover-running": story(
      "A new leader finds a running job: a new generation, from what the record names.   (J1, P2)",
      [
        stored({ generation: 4, status: "running", completed: 9, reservedCheckpointId: 1000 }),
        ...deploying(5, { completed: 9, reservedCheckpointId: 1000 }),
      ],
    ),
    "takeover-settling": story("A new leader finds a settling job: it settles on.   (P18)", [
      stored({ generation: 4, status: "settling", settleTo: "suspended", completed: 9 }),
    ]),
    "takeover-finished": story(
      "A new leader finds that every subtask had finished: straight to settling.   (P19)",
      [
        stored({ generation: 4, status: "running", completed: 9, allFinished: true }),
        stored({ generation: 4, status: "settling", settleTo: "finished", completed: 9, allFinished: true }),
      ],
    ),
    "takeover-ended": story("A new leader finds an ended job: its clean-up may be unfinished.   (P18)", [
      stored({ generation: 4, status: "finished" }),
    ]),
    stranded: story("What the record names cannot be read: stopped by name, nothing deleted.   (P20, C6)", [
      stored({ generation: 4, status: "running", completed: 9 }),
      take({ type: "recovery.impossible", reason: "the manifest of checkpoint 9 is missing" }),
      "The strategy's answer changes nothing.",
      denied,
      stored({ generation: 4, status: "failed", completed: 9 }),
    ]),
    "leadership-lost": story(
      "A write shows that another leader has taken over: nothing is sent, nothing deleted.   (J5, P9)",
      [...firstRun, cancel, lost],
    ),
  },
  unhandled: [
    // The job that is stranded asks for no restart; the failure is reported all the same.
    "job.ending: restart.denied",
    // The record has told it already: a generation raised over an older checkpoint was refused (D2).
    "job.recovering: checkpoint.completed",
  ],
});
