/**
 * Workers name a savepoint of their job by its checkpoint. Where it lies the leader knows: it completes the command in
 * their messages.
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { shellCommand } from "../../../shell-command.ts";

const COMMAND = /\bsavepoint (\d+) of this one\b[^"]*"(tidemark restore FILE --from LOCATION\b)/;

/** The text as it is where the record lists no such savepoint and no later one. */
export function withLocations(text: string, { savepoints }: Pick<JobRecord, "savepoints">): string {
  const [, checkpointId, command] = COMMAND.exec(text) ?? [];
  if (checkpointId === undefined || command === undefined) return text;
  const fitting = savepoints.filter((savepoint) => savepoint.checkpointId >= Number(checkpointId));
  const [first] = fitting.sort((one, other) => one.checkpointId - other.checkpointId);
  if (first === undefined) return text;
  return text.replace(command, () => shellCommand("tidemark", "restore", "FILE", "--from", first.location));
}
