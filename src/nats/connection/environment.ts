/** What this process knows about its NATS: the one connection that control, channels and connectors share. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { EnvironmentError } from "../../errors.ts";
import type { Diverter, SendCommands } from "./diverting-transport.ts";

/** What connectors name of the client library; they import it from here only. */
export type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";

export class NatsEnvironment {
  readonly connection: NatsConnection;
  /** Present when the connection runs on the diverting transport. */
  readonly diverter: Diverter | undefined;
  /** Likewise. */
  readonly sendCommands: SendCommands | undefined;
  #manager: Promise<JetStreamManager> | undefined;

  constructor(connection: NatsConnection, diverter?: Diverter, sendCommands?: SendCommands) {
    this.connection = connection;
    this.diverter = diverter;
    this.sendCommands = sendCommands;
  }

  /** Connectors get `unknown`: a job that runs in memory has no NATS. */
  static of(environment: { readonly nats: unknown }, who: string): NatsEnvironment {
    if (environment.nats instanceof NatsEnvironment) return environment.nats;
    throw new EnvironmentError(
      `${who} needs a NATS connection, and this job runs without one; use a memory or generator connector`,
    );
  }

  manager(): Promise<JetStreamManager> {
    this.#manager ??= jetstreamManager(this.connection, { checkAPI: false });
    return this.#manager;
  }

  /** Of the server that this process is connected to, "2.15.1". */
  get serverVersion(): string {
    return this.connection.info?.version ?? "unknown";
  }
}
