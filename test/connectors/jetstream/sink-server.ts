/**
 * What the tests of one file share that are about JetStream sinks: a server, whose settings change, and a connection
 * that lives on. Each test has a stream of its own and a place for staged transactions.
 */
import { type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { type JetStreamSinkOptions, jetstreamSink } from "../../../src/connectors/jetstream/sink.ts";
import type { Sink, SinkEnvironment } from "../../../src/dataflow/sink.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { ackedTiming } from "../../../src/nats/publisher/acked-publisher.ts";
import { markerTiming } from "../../../src/nats/publisher/sink-marker.ts";
import { MemoryStaging, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";

type Settings = Pick<TestServerOptions, "configuration" | "jetStream">;

/** What an exactly-once sink needs of its stream. */
const SUITABLE = { allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true };

export class SinkServer {
  server!: TestServer;
  connection!: NatsConnection;
  manager!: JetStreamManager;
  stream = "";
  nats!: NatsEnvironment;
  #staging!: MemoryStaging;
  #tests = 0;

  /** For the tests of the file that is being loaded. */
  constructor(settings: Settings) {
    beforeAll(async () => {
      Object.assign(markerTiming, { batchTimeoutMs: 500, confirmDelayMs: 50, fullAttempts: 2 });
      Object.assign(ackedTiming, { ackTimeoutMs: 300, sweepMs: 50 });
      this.server = await startTestServer(settings);
      const { url } = this.server;
      this.connection = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
      this.nats = new NatsEnvironment(this.connection);
      this.manager = await jetstreamManager(this.connection, { checkAPI: false });
    });
    afterAll(async () => {
      await this.connection.close();
      await this.server.stop();
    });
    beforeEach(() => {
      this.stream = `S${++this.#tests}`;
      this.#staging = new MemoryStaging();
    });
    afterEach(() => this.manager.streams.delete(this.stream).catch(() => undefined));
  }

  /** The stream of this test, as a sink needs it; with `more`. */
  add = async (more: object = {}): Promise<void> => {
    await this.manager.streams.add({ ...this.suitable(), ...more });
  };

  suitable(): Partial<StreamConfig> & { readonly name: string } {
    const name = this.stream;
    return { name, subjects: [`${name}.>`, `tidemark-marker.${name}.>`], ...SUITABLE };
  }

  update = async (changes: object): Promise<void> => {
    await this.manager.streams.update(this.stream, changes);
  };

  sink = (more: Partial<JetStreamSinkOptions<string>> = {}): Sink<string> =>
    jetstreamSink<string>({ stream: this.stream, subject: `${this.stream}.data`, encode: "text", ...more });

  environment = (more: Partial<SinkEnvironment> = {}): SinkEnvironment =>
    sinkEnvironment({ nats: this.nats, staging: this.#staging, ...more });

  /** How many records are in the stream. */
  committed = async (): Promise<number> => {
    const subject = `${this.stream}.data`;
    const { state } = await this.manager.streams.info(this.stream, { subjects_filter: subject });
    return state.subjects?.[subject] ?? 0;
  };

  restarted = async (settings: Settings): Promise<void> => {
    await this.server.restart(settings);
    await until("the connection is back", async () => (await this.connection.flush()) ?? true);
  };
}

/** What it was rejected with. */
export async function failureOf(done: Promise<unknown>): Promise<unknown> {
  return await done.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}
