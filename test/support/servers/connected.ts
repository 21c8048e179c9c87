/** A server with what a test needs to look into it: a connection of its own, and JetStream's manager. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startTestServer, type TestServer } from "./nats.ts";

export interface ConnectedServer {
  readonly server: TestServer;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly close: () => Promise<void>;
}

export async function startConnectedServer(): Promise<ConnectedServer> {
  const server = await startTestServer();
  const connection = await connect({ servers: server.url });
  const manager = await jetstreamManager(connection);
  const close = async () => {
    await connection.close();
    await server.stop();
  };
  return { server, connection, manager, close };
}
