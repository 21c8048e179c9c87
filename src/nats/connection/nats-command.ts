/**
 * Commands of the `nats` tool in messages, so that they reach the server and the JetStream that this process is
 * connected to.
 */
import { shellCommand } from "../../shell-command.ts";
import type { NatsEnvironment } from "./environment.ts";

/** A command for the user's terminal, without credentials: those do not belong in messages. */
export function natsCommand(nats: NatsEnvironment, ...words: readonly string[]): string {
  const prefix = nats.isLocal ? [] : [`--js-api-prefix=${nats.apiPrefix}`];
  return shellCommand("nats", ...words, `--server=nats://${nats.connection.getServer()}`, ...prefix);
}
