import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../../src/dataflow/channel/bus.ts";
import { createLocalChannel, DEFAULT_LOCAL_WINDOW } from "../../src/dataflow/channel/local-channel.ts";
import {
  createRemoteInput,
  createRemoteOutput,
  DEFAULT_REMOTE_WINDOW,
} from "../../src/dataflow/channel/remote/remote-channel.ts";
import type { Timers } from "../../src/dataflow/channel/remote/remote-line.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import { MemoryBroker } from "../../src/memory/bus.ts";
import { NatsBus } from "../../src/nats/connection/bus.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { startTimer } from "../../src/timer.ts";
import { FaultyNetwork, ManualTimers } from "../dataflow/channel/faulty-bus.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { channelContract, type OpenedChannel, records } from "./suites/channel.contract.ts";

const systemTimers: Timers = { after: startTimer };

channelContract("local", async (framesMax) => {
  const { output, input } = createLocalChannel({ ...DEFAULT_LOCAL_WINDOW, framesMax });
  return {
    output,
    input,
    failures: [],
    async settle() {},
    async close() {
      output.close();
      input.close();
    },
  };
});

channelContract("remote, messages delivered by hand", async (framesMax) => {
  const network = new FaultyNetwork();
  const [writer, reader] = [network.connect(), network.connect()];
  const settle = async () => {
    while (writer.outbox.length + reader.outbox.length > 0) {
      writer.deliverAll();
      reader.deliverAll();
    }
  };
  const channel = remote(writer, reader, framesMax, new ManualTimers(), settle);
  await settle();
  return channel;
});

channelContract("remote over the bus in memory", async (framesMax) => {
  const broker = new MemoryBroker();
  const [writer, reader] = [broker.connect(), broker.connect()];
  return remote(writer, reader, framesMax, systemTimers, () => settleBuses(writer, reader));
});

let server: TestServer;
let connections: NatsConnection[];
let generation = 0;

beforeAll(async () => {
  server = await startTestServer();
  connections = [await connect({ servers: server.url }), await connect({ servers: server.url })];
});

afterAll(async () => {
  for (const connection of connections) await connection.close();
  await server.stop();
});

channelContract(
  "remote over NATS",
  async (framesMax) => {
    const [writer, reader] = connections.map(
      (connection) => new NatsBus(new NatsEnvironment(connection, undefined)),
    ) as [NatsBus, NatsBus];
    return remote(writer, reader, framesMax, systemTimers, () => settleBuses(writer, reader));
  },
  10,
);

describe("remote over NATS", () => {
  it("gives exactly what was sent or fails, when the server restarts in the middle", async () => {
    const options = { maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 0 };
    const [writing, reading] = [
      await connect({ servers: server.url, ...options }),
      await connect({ servers: server.url, ...options, reconnectTimeWait: 300 }),
    ];
    const buses = [writing, reading].map((nats) => new NatsBus(new NatsEnvironment(nats, undefined)));
    const { output, input, failures, close } = remote(buses[0]!, buses[1]!, 64, systemTimers, async () => {});
    await output.opened();
    let sent = 0;
    let taken = 0;
    const until = async (end: () => boolean) => {
      const giveUp = performance.now() + WAIT_BOUND_MS;
      while (!end() && failures.length === 0 && performance.now() < giveUp) {
        if (output.hasRoom() && sent < 100_000) output.send(records(sent++));
        const frame = input.take();
        if (frame === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
        else expect(frame).toEqual(records(taken++));
      }
    };
    await until(() => taken > 200);
    let back = false;
    const restarted = server.restart().then(() => {
      back = true;
    });
    await until(() => back);
    await restarted;
    const goal = sent + 500;
    await until(() => taken >= goal);
    expect(failures.length === 1 || taken >= goal).toBe(true);
    await close();
    await writing.close();
    await reading.close();
  });
});

async function settleBuses(writer: Bus, reader: Bus): Promise<void> {
  await writer.flush();
  await reader.flush();
  await writer.flush();
}

function remote(
  writer: Bus,
  reader: Bus,
  framesMax: number,
  timers: Timers,
  settle: () => Promise<void>,
): OpenedChannel {
  const id = { edge: "words-count", from: 0, to: 1 };
  const failures: Error[] = [];
  const options = {
    id,
    subjects: createSubjects().channel("contract", ++generation, id),
    nonce: "n",
    inLoop: true,
    onStray: (subject: string, why: string) => void failures.push(new Error(`${subject}: ${why}`)),
    timers,
    onFailure: (error: Error) => void failures.push(error),
    window: { ...DEFAULT_REMOTE_WINDOW, framesMax },
  };
  const input = createRemoteInput({ ...options, bus: reader });
  const output = createRemoteOutput({ ...options, bus: writer });
  return {
    output,
    input,
    settle,
    failures,
    async close() {
      output.close();
      input.close();
      await writer.close();
      await reader.close();
    },
  };
}
