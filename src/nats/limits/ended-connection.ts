/** Why nats-server has ended a connection, in one sentence with the next step: its last word names a limit, mostly. */
import { ProtocolError } from "@nats-io/transport-node";

/** Next steps by what the server says (server/errors.go). */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /account active connections/i,
    "raise max_connections of the account, or end connections of it that are not needed",
  ],
  [
    /maximum connections/i,
    "raise max_connections in its configuration, or end connections that are not needed",
  ],
  [/maximum subscriptions/i, "raise max_subscriptions of the account or in its configuration"],
  [/maximum payload/i, "raise max_payload of the account or in its configuration"],
  [/control line/i, "raise max_control_line in its configuration"],
];

/** A subscription is missing on the server from now on; the connection may go on without it. */
export function isSubscriptionRefused(error: unknown): boolean {
  return error instanceof ProtocolError && /maximum subscriptions/i.test(error.message);
}

/** undefined: the error is none that ends a connection, or has a sentence of its own (credentials). */
export function whyEnded(error: unknown): string | undefined {
  if (!(error instanceof ProtocolError)) return undefined;
  const { message } = error;
  const advice = ADVICE.find(([said]) => said.test(message))?.[1];
  return `nats-server refuses or ends the connection ("${message}"); ${advice ?? "change what it names in its configuration, and reload it"}`;
}
