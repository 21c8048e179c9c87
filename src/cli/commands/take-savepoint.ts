/** One savepoint from asking to its end, as `savepoint`, `stop` and `cancel --with-savepoint` take it. */
import type { CompletedSnapshot } from "../../control/client.ts";
import type { SnapshotRequest } from "../../control/messages.ts";
import { type ClusterView, newId } from "../assembly.ts";
import { interruptible } from "../process/interruption.ts";
import { sayWhileWaiting } from "../run/waiting.ts";
import { type ClientFlags, clientOf, ofLeader } from "./client.ts";

type FollowedBy = SnapshotRequest["followedBy"];

/** Waits until the savepoint is complete and, when the job was to end with it, until it has ended. */
export function takeSavepoint(
  view: ClusterView,
  flags: ClientFlags & { readonly to?: string },
  job: string,
  followedBy: FollowedBy,
): Promise<CompletedSnapshot> {
  const asked = {
    job,
    request: newId(),
    kind: "savepoint",
    directory: flags.to ?? null,
    followedBy,
  } as const;
  let isTaken = false;
  const onTaken = (): void => {
    isTaken = true;
  };
  return interruptible(
    () => outlook(job, followedBy, isTaken),
    () =>
      ofLeader(view, job, "take a savepoint of", () =>
        clientOf(view, flags).snapshot(asked, undefined, { onTaken, onReport: sayWhileWaiting() }),
      ),
  );
}

const CONTINUED: Readonly<Record<FollowedBy, string>> = {
  "go-on": "is taken",
  stop: "is taken, and the job stops with it,",
  drain: "is taken, and the job stops with it,",
  cancel: "is taken, and the job is canceled then,",
};

/** The request is the client's until it is carried out: a coordinator that takes the lead first knows none (P57). */
function outlook(job: string, followedBy: FollowedBy, isTaken: boolean): string {
  const goesOn = isTaken
    ? `the savepoint of job ${job} ${CONTINUED[followedBy]} without this command, unless another coordinator takes the lead first`
    : `no coordinator has answered yet, so the savepoint of job ${job} may be taken or not`;
  return (
    `${goesOn}: "tidemark describe ${job}" names its location once it is complete, and "tidemark checkpoints show ${job}" ` +
    "tells of one that is under way or was given up"
  );
}
