/**
 * What the tests of one file share that read streams: a server. Each of them has a connection of its own, which can
 * divert, and leaves neither a reader nor a stream behind.
 */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "./nats.ts";

interface Closable {
  close(): Promise<void> | void;
}

export class StreamServer {
  server!: TestServer;
  connection!: NatsConnection;
  nats!: NatsEnvironment;
  manager!: JetStreamManager;
  readonly #opened: Closable[] = [];

  /** For the tests of the file that is being loaded. */
  constructor() {
    beforeAll(async () => {
      this.server = await startTestServer();
    });
    afterAll(() => this.server.stop());
    beforeEach(async () => {
      const made = await connectDiverting({
        servers: this.server.url,
        reconnectTimeWait: 50,
        maxReconnectAttempts: -1,
      });
      this.connection = made.connection;
      this.nats = new NatsEnvironment(made.connection, made.diverter);
      this.manager = await jetstreamManager(made.connection);
    });
    afterEach(async () => {
      for (const reader of this.#opened.splice(0)) await reader.close();
      await this.server.forgotten();
      for await (const { config } of this.manager.streams.list())
        await this.manager.streams.delete(config.name);
      await this.server.forgotten();
      await this.connection.close();
    });
  }

  /** It is closed after the test. */
  closedAfterwards<T extends Closable>(reader: T): T {
    this.#opened.push(reader);
    return reader;
  }
}
