/** Whether a submission fits into one message, and the job record that is made of it into one value. */
import type { JobSubmission } from "../../control/messages.ts";
import { ConfigurationError } from "../../errors.ts";

/** The record grows by checkpoints, failures and savepoints. */
const SHARE_MAX = 0.75;

/** @throws ConfigurationError with the number of splits, where they are what does not fit */
export function checkSize(submission: JobSubmission, messageBytesMax: number): void {
  const bytes = Buffer.byteLength(JSON.stringify(submission));
  const bytesMax = Math.floor(messageBytesMax * SHARE_MAX);
  if (bytes <= bytesMax) return;
  const splits = Object.values(submission.splits).reduce((sum, some) => sum + some.length, 0);
  throw new ConfigurationError(
    "subjects",
    `job ${submission.job} has ${splits} splits, and with them its record takes ${bytes} bytes; the server's messages leave room for ${bytesMax} ` +
      "(max_payload): group the subjects, several in one split, or read them by a wildcard",
  );
}
