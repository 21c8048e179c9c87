/** What this process knows about its NATS: the one connection that control, channels and connectors share. */
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { EnvironmentError } from "../../errors.ts";
import type { Diverter, SendCommands } from "./diverting-transport.ts";

/** What connectors name of the client library; they import it from here only. */
export type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";

/** JetStream's own prefix, where an account uses the JetStream of its own server. */
const DEFAULT_API_PREFIX = "$JS.API";
const KV_START = "$KV.";

export class NatsEnvironment {
  readonly connection: NatsConnection;
  /** Present when the connection runs on the diverting transport. */
  readonly diverter: Diverter | undefined;
  /** Likewise. */
  readonly sendCommands: SendCommands | undefined;
  /** First tokens of every request to JetStream, "$JS.API" or "$JS.hub.API". */
  readonly apiPrefix: string;
  #serverVersion: string;
  #manager: Promise<JetStreamManager> | undefined;

  constructor(
    connection: NatsConnection,
    diverter?: Diverter,
    sendCommands?: SendCommands,
    apiPrefix: string = DEFAULT_API_PREFIX,
  ) {
    this.connection = connection;
    this.diverter = diverter;
    this.sendCommands = sendCommands;
    this.apiPrefix = apiPrefix;
    this.#serverVersion = connection.info?.version ?? "unknown";
  }

  /** Connectors get `unknown`: a job that runs in memory has no NATS. */
  static of(environment: { readonly nats: unknown }, connector: string): NatsEnvironment {
    if (environment.nats instanceof NatsEnvironment) return environment.nats;
    throw new EnvironmentError(
      `${connector} needs a NATS connection, and this job runs without one; use a memory or generator connector`,
    );
  }

  manager(): Promise<JetStreamManager> {
    this.#manager ??= jetstreamManager(this.connection, { checkAPI: false, apiPrefix: this.apiPrefix });
    return this.#manager;
  }

  /** Whether JetStream is that of the server and account that this process is connected to. */
  get isLocal(): boolean {
    return this.apiPrefix === DEFAULT_API_PREFIX;
  }

  /** @param timeoutMs for each answer */
  patientManager(timeoutMs: number): Promise<JetStreamManager> {
    return jetstreamManager(this.connection, {
      checkAPI: false,
      apiPrefix: this.apiPrefix,
      timeout: timeoutMs,
    });
  }

  /** @param timeoutMs for each answer */
  client(timeoutMs: number): JetStreamClient {
    return jetstream(this.connection, { apiPrefix: this.apiPrefix, timeout: timeoutMs });
  }

  /**
   * The subject to publish to for a stream that stores the message under `subject`. Between domains and accounts
   * "$KV.>" travels below the API prefix, as with every KV client (ADR-8); leaf nodes do not let it through as it is.
   */
  publishSubject(subject: string): string {
    return this.isLocal || !subject.startsWith(KV_START) ? subject : `${this.apiPrefix}.${subject}`;
  }

  /** The version of the server that this process is connected to, or was connected to last: "2.15.1". */
  get serverVersion(): string {
    this.#serverVersion = this.connection.info?.version ?? this.#serverVersion;
    return this.#serverVersion;
  }
}
