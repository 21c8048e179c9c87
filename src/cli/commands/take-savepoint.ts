/** One savepoint from asking to its end, as `savepoint`, `stop` and `cancel --with-savepoint` take it. */
import type { CompletedSnapshot } from "../../control/client.ts";
import type { SnapshotRequest } from "../../control/messages.ts";
import { type ClusterView, newId } from "../assembly.ts";
import { sayWhileWaiting } from "../run/waiting.ts";
import { type ClientFlags, clientOf, ofLeader } from "./client.ts";

/** Waits until the savepoint is complete and, when the job was to end with it, until it has ended. */
export function takeSavepoint(
  view: ClusterView,
  flags: ClientFlags & { readonly to?: string },
  job: string,
  followedBy: SnapshotRequest["followedBy"],
): Promise<CompletedSnapshot> {
  const asked = {
    job,
    request: newId(),
    kind: "savepoint",
    directory: flags.to ?? null,
    followedBy,
  } as const;
  return ofLeader(view, job, "take a savepoint of", () =>
    clientOf(view, flags).snapshot(asked, undefined, sayWhileWaiting()),
  );
}
