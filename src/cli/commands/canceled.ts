/** The wait for the end of a job that its user has canceled: it is over when the record says so. */
import type { JobStatus } from "../../../machines/protocol.ts";
import type { Wish } from "../../control/client.ts";
import type { JobReport } from "../../control/messages.ts";
import { EnvironmentError, RequestRefusedError } from "../../errors.ts";
import { pause } from "../../timer.ts";
import { type ClusterView, createClient } from "../assembly.ts";
import { EndingPatience, unendedText } from "../process/ending.ts";
import { sayWhileWaiting } from "../run/waiting.ts";
import { readJob, recordsOf } from "../stored/retained.ts";

const ENDED_OTHERWISE: ReadonlySet<JobStatus> = new Set<JobStatus>([
  "finished",
  "stopped",
  "failed",
  "suspended",
]);
const POLL_MS = 200;
/** The leader takes a client that is silent for longer for one that has gone. */
const ASK_AGAIN_MS = 3000;
/** A leader that says nothing for so long is asked again. */
const LEADER_MS = 2000;

/**
 * Resolves when the job is canceled. Its leader may be gone by then: a `tidemark run` ends with its job.
 * @param wish that the leader has taken already
 * @throws RequestRefusedError when it has ended otherwise, EnvironmentError when its end takes too long: it is canceled
 * all the same (P49)
 */
export async function untilCanceled(view: ClusterView, job: string, wish: Wish): Promise<void> {
  const client = createClient(view, LEADER_MS);
  const patience = new EndingPatience(performance.now());
  const say = sayWhileWaiting();
  let askMs = performance.now() + ASK_AGAIN_MS;
  for (let latest: JobReport | undefined; ; await pause(POLL_MS)) {
    const record = await readJob(await recordsOf(view, job), job);
    if (record.status === "canceled") return;
    if (performance.now() >= askMs) {
      askMs = performance.now() + ASK_AGAIN_MS;
      await client.cancel(job, wish).catch(() => undefined);
    }
    if (ENDED_OTHERWISE.has(record.status))
      throw new RequestRefusedError(
        `job ${job} is ${record.status}: it had ended before it could be canceled`,
      );
    const report = await client.status(job).catch((error: unknown) => {
      if (!(error instanceof EnvironmentError)) throw error;
      return undefined;
    });
    latest = report ?? latest;
    if (report !== undefined) {
      patience.heard(report, performance.now());
      say(report);
    }
    const spentMs = patience.spentMs(performance.now());
    if (spentMs === undefined) continue;
    const next = `It is canceled all the same, as soon as that is possible: "tidemark status ${job}" shows it`;
    throw new EnvironmentError(unendedText(job, latest, latest?.troubles ?? [], spentMs, next));
  }
}

/**
 * Tells the leader that the end has been seen: a `tidemark run` does not take its server away before that. It may be
 * gone all the same.
 */
export async function tellSeen(view: ClusterView, job: string, wish: Wish): Promise<void> {
  await createClient(view, LEADER_MS)
    .cancel(job, wish)
    .catch(() => undefined);
}
