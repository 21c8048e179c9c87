/**
 * Judges a run by its event feed alone. Knows nothing of the engine but the words of the feed:
 *
 * - a checkpoint begins with its `send.trigger`, is decided when it enters `committing` from `persisting.decision`, and
 *   belongs to the transactions with ids up to its own;
 * - a restored job names the checkpoint that it goes on from: that one was decided, by whichever leader;
 * - a transaction is decided by a checkpoint of the generation that prepared it, or dropped with that generation: the
 *   next one reads its records again, and its own checkpoints say nothing about it;
 * - a transaction `<sink>@<id>` of a subtask is to be committed when `commit.transaction` is among the effects.
 */
import type { FeedEvent } from "../../../src/observe/feed.ts";

export interface CheckpointTimes {
  readonly checkpointId: number;
  readonly reason: string;
  /** Trigger until every subtask has acknowledged. */
  waitingMs: number;
  /** Until the decision is durable. */
  decidingMs: number;
  /** Until the last sink has committed. */
  committingMs: number;
  /** The duration as the engine says it: from the trigger to the decision. */
  readonly durationMs: number;
  /** What that lies between, by the times of events around its beginning and its end. */
  readonly durationMinMs: number;
  readonly durationMaxMs: number;
}

export interface OutsidersView {
  readonly wrong: readonly string[];
  readonly generations: readonly number[];
  readonly failures: readonly string[];
  /** The times from each failure until the job ran again. */
  readonly restartMs: readonly number[];
  /** Completed ones, in order. */
  readonly checkpoints: readonly CheckpointTimes[];
  /** Transactions that were committed. */
  readonly commits: readonly string[];
  readonly ended: string | undefined;
}

interface Detail {
  readonly checkpointId?: number;
  readonly completed?: number;
  readonly transaction?: string;
  readonly reason?: string;
  readonly where?: string;
  readonly durationMs?: number;
  readonly status?: string;
}

/** A transaction that was prepared, and the generation that prepared it. */
interface Prepared {
  readonly generation: number;
  readonly id: number;
}

interface Begun {
  /** The last that was heard of the leader that orders checkpoints. */
  readonly orderedMs: number;
  readonly triggeredMs: number;
  acknowledgedMs: number;
  /** The decision is on its way. */
  askedMs: number;
}

export function outsidersView(events: readonly FeedEvent[]): OutsidersView {
  const wrong: string[] = [];
  const generations: number[] = [];
  const failures: string[] = [];
  const restartMs: number[] = [];
  const checkpoints = new Map<number, CheckpointTimes>();
  const begun = new Map<number, Begun>();
  const decidedAtMs = new Map<number, number>();
  const commits: string[] = [];
  const prepared = new Map<string, Prepared>();
  /** The latest that each generation has decided, and that each was restored from. */
  const decidedIn = new Map<number, number>();
  const restoredFrom = new Map<number, number>();
  const latestCommit = new Map<string, number>();
  let decided = 0;
  let orderedMs = 0;
  let failedAtMs: number | undefined;
  let ended: string | undefined;

  for (const event of events) {
    const { t, role, generation, effects } = event;
    const detail = event as Detail;
    if (generation > (generations.at(-1) ?? 0)) generations.push(generation);

    if (role === "job") {
      // What a new generation goes on from is decided, even if the leader that decided it had no time to say so.
      if (effects.includes("send.deployment")) {
        decided = Math.max(decided, detail.completed ?? 0);
        restoredFrom.set(generation, detail.completed ?? 0);
      }
      if (effects.includes("report.failure")) {
        failures.push(`${detail.where}: ${detail.reason}`);
        failedAtMs ??= t;
      }
      if (effects.includes("report.recovery") && failedAtMs !== undefined) {
        restartMs.push(t - failedAtMs);
        failedAtMs = undefined;
      }
      if (event.to === "ended") ended = detail.status;
    }

    if (role === "checkpointing") orderedMs = t;

    if (role === "checkpoint") {
      const checkpointId = Number(event.id.split("/")[1]);
      if (effects.includes("send.trigger"))
        begun.set(checkpointId, { orderedMs, triggeredMs: t, acknowledgedMs: t, askedMs: t });
      const times = begun.get(checkpointId);
      if (event.to === "persisting.manifest" && times !== undefined) times.acknowledgedMs = t;
      if (event.to === "persisting.decision" && times !== undefined) times.askedMs = t;
      if (event.from === "persisting.decision" && event.to === "committing") {
        if (checkpointId <= decided) wrong.push(`checkpoint ${checkpointId} was decided after ${decided}`);
        decided = checkpointId;
        decidedIn.set(generation, checkpointId);
        decidedAtMs.set(checkpointId, t);
        const known = checkpoints.get(checkpointId);
        if (known !== undefined && times !== undefined) {
          known.waitingMs = times.acknowledgedMs - times.triggeredMs;
          known.decidingMs = t - times.acknowledgedMs;
        }
      }
    }

    if (event.event === "checkpoint.completed" && role === "coordinator") {
      const { checkpointId = 0, reason = "", durationMs = 0 } = detail;
      const times = begun.get(checkpointId);
      checkpoints.set(checkpointId, {
        ...{ checkpointId, reason, durationMs },
        ...{ waitingMs: Number.NaN, decidingMs: Number.NaN, committingMs: 0 },
        durationMinMs: times === undefined ? Number.NaN : times.askedMs - times.triggeredMs,
        durationMaxMs: times === undefined ? Number.NaN : t - times.orderedMs,
      });
    }

    if (role === "sink-transaction" && detail.transaction) {
      const subtask = event.id.split("/transaction/")[0]!;
      const [sink, number] = detail.transaction.split("@");
      const id = Number(number);
      const name = `${detail.transaction} of ${subtask}`;
      if (generation < (generations.at(-1) ?? 0) && effects.includes("commit.transaction"))
        wrong.push(`generation ${generation} commits ${name} after generation ${generations.at(-1)} began`);
      if (event.to === "prepared") prepared.set(name, { generation, id });
      if (effects.includes("commit.transaction") && id > decided)
        wrong.push(`${name} was to be committed before checkpoint ${id} was decided`);
      if (event.to === "committed") {
        const writer = `${sink} of ${subtask}`;
        const before = latestCommit.get(writer) ?? 0;
        // A restored generation commits again what the one before may have committed already.
        if (id < before && !commits.includes(name))
          wrong.push(`${name} was committed after ${sink}@${before}`);
        latestCommit.set(writer, id);
        commits.push(name);
        const first = [...decidedAtMs.keys()].find((one) => one >= id);
        const times = first === undefined ? undefined : checkpoints.get(first);
        if (first !== undefined && times !== undefined) times.committingMs = t - decidedAtMs.get(first)!;
      }
    }
  }
  const isDecided = ({ generation, id }: Prepared): boolean => {
    const next = generations.find((one) => one > generation && restoredFrom.has(one)) ?? 0;
    return id <= Math.max(decidedIn.get(generation) ?? 0, restoredFrom.get(next) ?? 0);
  };
  const hasEnded = events.some((event) => event.role === "job" && event.to === "ended");
  for (const [name, one] of prepared) {
    const committed = commits.includes(name);
    if (hasEnded && isDecided(one) && !committed) wrong.push(`${name} was decided and never committed`);
    if (!isDecided(one) && committed) wrong.push(`${name} was dropped with its generation and committed`);
  }
  return { wrong, generations, failures, restartMs, checkpoints: [...checkpoints.values()], commits, ended };
}
