/** The word to the user of records that came too late: a line of the log and an event of the feed, with an example. */
import type { LateExample } from "../../../dataflow/time/lateness.ts";
import { describeRecord } from "../../../state/described.ts";
import type { SubtaskOptions } from "../subtask/subtask.ts";

export function tellLate(
  { vertex, index, deployment, clock, feed, logger }: SubtaskOptions,
  { operator, records, value, timestamp, watermark, neededMs, keyGroup }: LateExample,
): void {
  const subtask = `${vertex.id}/${index}`;
  const fields = {
    operator,
    records,
    timestamp,
    watermark,
    lateByMs: watermark - timestamp,
    neededMs,
    ...(keyGroup !== undefined && { keyGroup }),
    record: describeRecord(value),
  };
  logger.warn({ subtask, ...fields }, "records came too late, and no window or join took them");
  feed.publish({
    t: clock.nowMs(),
    job: deployment.job,
    generation: deployment.generation,
    role: "operator",
    id: subtask,
    event: "record.late",
    from: "",
    to: "",
    effects: [],
    ...fields,
  });
}
