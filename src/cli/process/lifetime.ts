/**
 * How a long-running process of ours ends.
 *
 * Owns: signals, the parent that went away, the last word. A child of `tidemark run` has an IPC channel to it: when
 * that closes, the parent is gone, however it ended, and the child goes too.
 */
import type { WorkerIdentity } from "../../control/messages.ts";
import type { Trouble } from "../../dataflow/trouble.ts";
import type { Troubles } from "../../observe/troubles.ts";

/** Set for children of `tidemark run`, which shall not outlive it. */
export const CHILD_VARIABLE = "TIDEMARK_CHILD";

/** What such a child says to its parent. */
export type ChildMessage =
  /** `worker`: who it is, when it is one. */
  | { readonly type: "started"; readonly worker?: WorkerIdentity }
  /** The answer to each ping of the parent. */
  | { readonly type: "alive" }
  /** It ends, and why. */
  | { readonly type: "crashed"; readonly reason: string }
  /** It cannot start, and another one in its place could not either: this machine lacks something. */
  | { readonly type: "unfit"; readonly reason: string }
  /** All that it has been trying in vain at present. */
  | { readonly type: "troubles"; readonly troubles: readonly Trouble[] };

/** What its parent asks again and again: a process whose event loop is held up does not answer. */
export interface ParentMessage {
  readonly type: "ping";
}

/** Sends a message to a parent that listens; else does nothing. */
export function tellParent(message: ChildMessage): void {
  if (process.connected) process.send?.(message, () => {});
}

/** A last word before the process ends by itself: resolves when it has gone out, or cannot. */
export async function tellParentLast(message: ChildMessage): Promise<void> {
  await new Promise<void>((resolve) => {
    if (!process.connected || process.send === undefined) return resolve();
    process.send(message, () => resolve());
  });
}

/** From now on; what was told of the time before, when the process had no connection yet, is over. */
export function tellParentOf(troubles: Troubles): void {
  tellParent({ type: "troubles", troubles: troubles.list() });
  troubles.onChange(() => tellParent({ type: "troubles", troubles: troubles.list() }));
}

export interface Lifetime {
  /** Resolves when the process should end in good order. */
  readonly ending: Promise<string>;
  /** Asks for it from inside. */
  end(why: string): void;
}

/** Exits at once when asked a second time, or when an orderly end takes longer than `boundMs`. */
export function watchLifetime(boundMs: number): Lifetime {
  let end: (why: string) => void = () => {};
  let asked = false;
  const ending = new Promise<string>((resolve) => {
    end = (why) => {
      if (asked) process.exit(1);
      asked = true;
      setTimeout(() => process.exit(1), boundMs).unref();
      resolve(why);
    };
  });
  process.on("SIGTERM", () => end("SIGTERM"));
  process.on("SIGINT", () => end("SIGINT"));
  process.on("SIGHUP", () => end("SIGHUP"));
  if (process.connected) {
    process.on("disconnect", () => process.exit(1));
    process.on("message", () => tellParent({ type: "alive" }));
  }
  // The parent was gone before we could listen, so no event will ever tell.
  else if (process.env[CHILD_VARIABLE] !== undefined) process.exit(1);
  // What a job starts is not our parent's child.
  delete process.env[CHILD_VARIABLE];
  return { ending, end };
}
