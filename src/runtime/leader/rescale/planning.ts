/** The plan of a job with other numbers of subtasks, from one of its workers: only they have the job's code. */
import { parallelismOf } from "../../../../machines/leader/rescale.ts";
import type { GraphPlan, JobRecord } from "../../../../machines/protocol.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { RescaleRequest } from "../../../control/requests/rescale.ts";
import { shapes } from "../../../control/shapes.ts";
import { describeError, RequestRefusedError, retryOf } from "../../../errors.ts";
import type { KnownWorker } from "../generations/worker-registry.ts";

const ANSWER_MS = 5000;

/**
 * Without a parallelism for all, the operators that are not named keep what they have.
 *
 * @throws RequestRefusedError with the worker's reason, or when no worker answers
 */
export async function plannedBy(
  workers: readonly KnownWorker[],
  link: ControlLink,
  { job, parallelism, operators }: RescaleRequest,
  { plan }: JobRecord,
): Promise<GraphPlan> {
  const present = parallelism === null ? parallelismOf(plan) : {};
  const { maxParallelism } = plan;
  const question = {
    type: "worker.plan",
    parallelism,
    operators: { ...present, ...operators },
    maxParallelism,
  };
  let last = "it has none at present";
  for (const { registration, subject } of workers) {
    const { secret } = registration;
    try {
      const answer = await link.ask(subject, question, shapes.planAnswer, ANSWER_MS, { secret });
      if (answer.answer === "planned") return answer.plan;
      throw new RequestRefusedError(`job ${job} cannot be rescaled: ${answer.reason}`);
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      last = describeError(error);
    }
  }
  throw new RequestRefusedError(
    `job ${job} cannot be rescaled, because no worker of it says what it would be: ${last}; ask again`,
  );
}
