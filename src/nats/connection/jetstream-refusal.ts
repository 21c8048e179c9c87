/**
 * What JetStream's API refuses, in one sentence for the user: the thing, the reason, the next step.
 *
 * An error of the API is the world's, never a bug of ours, so it leaves this room as an EnvironmentError, unless its
 * caller handles it by its code. The codes are those of server/errors.json.
 */
import { JetStreamApiError } from "@nats-io/jetstream";
import { EnvironmentError, RequestTimeoutError, TidemarkError } from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";

const ACCOUNT = shellCommand("nats", "account", "info");

/** Next steps by error code. */
const ADVICE: Readonly<Record<number, string>> = {
  10002: `raise the limits of the account (${ACCOUNT}), or delete streams that are not needed`,
  10005:
    "no server fits: look at replicas, placement and free space of the cluster (nats server report jetstream)",
  10023:
    "the server has no room left: free space, or raise max_file_store and max_memory_store of its jetstream block",
  10026: `raise max_consumers of the stream or the account (${ACCOUNT}), or delete consumers that are not needed`,
  10027: `raise max_streams of the account (${ACCOUNT}), or delete a stream that is not needed (nats stream ls)`,
  10028: `raise the memory limit of the account (${ACCOUNT})`,
  10039:
    "enable JetStream for this account in the server's configuration, or give credentials of an account that has it",
  10047: `the server or the account has no storage left (${ACCOUNT}): free some, or raise the limit`,
  10052: "change the setting that the reason names",
  10065: "each subject belongs to one stream: choose other subjects, or write to the stream that has them",
  10074: "one server alone keeps one replica: leave the number of replicas out, or use a cluster",
  10076: "enable JetStream in the server's configuration, or connect to a server that has it",
  10077: "the stream or bucket is full: raise its max_bytes or max_msgs (nats stream edit)",
  10113: "this account wants a size limit for every stream: give one, within what the account may store",
  10122: `give a smaller size limit: the account limits the size of one stream (${ACCOUNT})`,
};

/** Account, server, store or stream has no room: nothing was stored, and the same write may be taken later. */
const NO_ROOM: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047, 10077]);

export function lacksRoom(error: unknown): boolean {
  return hasNoRoom(refusalCode(error));
}

/** @param code of an answer, undefined: it has none */
export function hasNoRoom(code: number | undefined): boolean {
  return code !== undefined && NO_ROOM.has(code);
}

/** The code of the API for which `error` stands; undefined: it is something else. */
export function refusalCode(error: unknown): number | undefined {
  return apiErrorIn(error)?.code;
}

/**
 * @param what begins the message, and names stream or bucket
 * @param advice for codes for which the caller knows a better next step
 * @returns `error` itself when it is not one of JetStream's API, or one of ours already
 */
export function inOneSentence(
  what: string,
  error: unknown,
  advice: Readonly<Record<number, string>> = {},
): unknown {
  const found = error instanceof TidemarkError ? undefined : apiErrorIn(error);
  if (found === undefined) return error;
  const { code, message, status } = found;
  if (code === TEMPORARILY_UNAVAILABLE) {
    return new RequestTimeoutError(`${what}: JetStream is not available at present (${message})`, {
      cause: error,
    });
  }
  const next =
    advice[code] ??
    ADVICE[code] ??
    (status >= 500 ? "look into the log of nats-server" : "change what the reason names");
  return new EnvironmentError(`${what}: JetStream refuses it: ${message} (${code}); ${next}`, {
    cause: error,
  });
}

/** An election. */
export const TEMPORARILY_UNAVAILABLE = 10008;

/** The library hides some below an error of its own. */
function apiErrorIn(error: unknown): JetStreamApiError | undefined {
  if (error instanceof JetStreamApiError) return error;
  return error instanceof Error && error.cause instanceof JetStreamApiError ? error.cause : undefined;
}
