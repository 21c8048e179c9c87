import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterEach, describe, expect, it } from "vitest";
import { RequestTimeoutError } from "../../src/errors.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import { NatsBus } from "../../src/nats/connection/bus.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { startTestServer } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";
import { eventually } from "../support/until.ts";
import { bytes, describeBusContract, text } from "./suites/bus.contract.ts";

const fastReconnect = { maxReconnectAttempts: -1, reconnectTimeWait: 50, noAsyncTraces: true };

describeBusContract("memory", async () => {
  const broker = new MemoryBroker();
  const buses: MemoryBus[] = [];
  return {
    async connect() {
      const bus = broker.connect();
      buses.push(bus);
      return bus;
    },
    async beginOutage() {
      for (const bus of buses) bus.disconnect();
    },
    async endOutage() {
      for (const bus of buses) bus.reconnect();
    },
    close: async () => undefined,
  };
});

describeBusContract("core NATS", async () => {
  const server = await startTestServer();
  const connections: NatsConnection[] = [];
  return {
    async connect() {
      const connection = await connect({ servers: server.url, ...fastReconnect });
      connections.push(connection);
      return new NatsBus(new NatsEnvironment(connection, undefined));
    },
    beginOutage: () => server.kill(),
    endOutage: () => server.restart(),
    async close() {
      for (const connection of connections) await connection.close();
      await server.stop();
    },
  };
});

describe("NATS bus", () => {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  it("keeps the connection when it is closed, and survives a handler that throws", async () => {
    const server = await startTestServer();
    const connection = await connect({ servers: server.url, ...fastReconnect });
    ends.push(
      () => connection.close(),
      () => server.stop(),
    );
    const environment = new NatsEnvironment(connection, undefined);
    const first = new NatsBus(environment);
    await first.close();
    expect(connection.isClosed()).toBe(false);

    const second = new NatsBus(environment);
    const thrown: unknown[] = [];
    const caught = (error: unknown): void => void thrown.push(error);
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", caught);
    try {
      second.subscribe("bad", () => {
        throw new Error("handler");
      });
      second.publish("bad", bytes(""));
      await eventually(() => expect(thrown).toHaveLength(1));
    } finally {
      process.off("uncaughtException", caught);
      for (const listener of others) process.on("uncaughtException", listener);
    }
    second.subscribe("good", (body, reply) => reply?.(body));
    expect(text(await second.request("good", bytes("still here"), WAIT_BOUND_MS))).toBe("still here");
  });
});

describe("memory bus", () => {
  it("loses what the drop hook says, and runs on given time", async () => {
    let now = 0;
    const timers: { at: number; fire: () => void }[] = [];
    const broker = new MemoryBroker({
      drop: (subject) => subject === "lost",
      now: () => now,
      startTimer: (ms, fire) => {
        timers.push({ at: now + ms, fire });
        return () => undefined;
      },
    });
    const bus = broker.connect();
    const received: string[] = [];
    bus.subscribe("*", (_body, _reply, subject) => received.push(subject));
    bus.publish("lost", bytes(""));
    bus.publish("kept", bytes(""));
    await bus.flush();
    expect(received).toEqual(["kept"]);

    const request = bus.request("lost", bytes(""), 60_000);
    now = 60_000;
    for (const timer of timers) timer.fire();
    await expect(request).rejects.toThrow(RequestTimeoutError);
    expect(bus.connectedForMs()).toBe(60_000);
  });
});
