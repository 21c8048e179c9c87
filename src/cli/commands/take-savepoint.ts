/** One savepoint from asking to its end, as `savepoint`, `stop` and `cancel --with-savepoint` take it. */
import type { CompletedSnapshot } from "../../control/client.ts";
import type { SnapshotRequest } from "../../control/messages.ts";
import { RequestRefusedError } from "../../errors.ts";
import { type ClusterView, newId } from "../assembly.ts";
import { type ClientFlags, clientOf } from "./client.ts";

const POLL_MS = 200;

/** Waits until the savepoint is complete and, when the job was to end with it, until it has ended. */
export async function takeSavepoint(
  view: ClusterView,
  flags: ClientFlags & { readonly to?: string },
  job: string,
  then: SnapshotRequest["then"],
): Promise<CompletedSnapshot> {
  const client = clientOf(view, flags);
  const asked = { job, request: newId(), kind: "savepoint", directory: flags.to ?? null, then } as const;
  const outcome = await client.snapshot(asked);
  const ends = then === "go-on" ? [] : then === "cancel" ? ["canceled"] : ["stopped"];
  while (ends.length > 0) {
    const status = (await client.status(job))?.status ?? "unknown";
    if (ends.includes(status)) break;
    if (!["created", "running", "settling"].includes(status))
      throw new RequestRefusedError(
        `the savepoint of job ${job} is at ${outcome.location}, but the job is ${status} now: its last transactions may not ` +
          "be committed; start it again, so that it commits them, before you go on from the savepoint",
      );
    // A leader that has taken over knows of the savepoint, not of what was to follow it.
    if (then === "cancel") await client.cancel(job);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return outcome;
}
