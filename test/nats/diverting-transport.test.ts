import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { connect, headers, type NodeConnectionOptions } from "@nats-io/transport-node";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  connectDiverting,
  type DivertedMessages,
  type DivertingConnection,
  type Internals,
  internalsAreAsExpected,
} from "../../src/nats/connection/diverting-transport.ts";
import { MessageSplitter } from "../../src/nats/connection/message-splitter.ts";
import { answers, startTestServer, type TestServer } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";

interface Received {
  readonly subject: string;
  readonly reply: string;
  readonly header: string;
  readonly data: string;
}

/** Keeps copies of what it is handed. */
class Recorder implements DivertedMessages {
  readonly received: Received[] = [];
  chunks = 0;

  onMessage(
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    replyStart: number,
    replyEnd: number,
    headerStart: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    this.received.push({
      subject: bytes.toString("latin1", subjectStart, subjectEnd),
      reply: bytes.toString("latin1", replyStart, replyEnd),
      header: bytes.toString("latin1", headerStart, dataStart),
      data: bytes.toString("latin1", dataStart, dataEnd),
    });
  }

  onChunkEnd(): void {
    this.chunks++;
  }
}

describe("splitting the bytes of the protocol", () => {
  const DIVERTED_SID = 7;
  const token = fc.stringMatching(/^[a-zA-Z0-9$_]{1,8}$/);
  const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
  /** Payloads that look like the protocol are the dangerous ones. */
  const payload = fc.oneof(
    fc.string({ maxLength: 40, unit: "binary-ascii" }),
    fc.constantFrom("", "\r\n", "MSG a 7 b 1\r\nx\r\n", "PING\r\n", "x".repeat(3000)),
  );
  const message = fc
    .record({
      subject,
      sid: fc.constantFrom(DIVERTED_SID, 1, 70, 1007),
      reply: fc.option(subject, { nil: undefined }),
      header: fc.option(fc.constantFrom("NATS/1.0\r\nA: b\r\n\r\n", "NATS/1.0 100 Idle\r\n\r\n"), {
        nil: undefined,
      }),
      payload,
    })
    .map((it) => {
      const reply = it.reply === undefined ? "" : `${it.reply} `;
      const size = (it.header?.length ?? 0) + it.payload.length;
      const line =
        it.header === undefined
          ? `MSG ${it.subject} ${it.sid} ${reply}${size}`
          : `HMSG ${it.subject} ${it.sid} ${reply}${it.header.length} ${size}`;
      const text = `${line}\r\n${it.header ?? ""}${it.payload}\r\n`;
      const diverted =
        it.sid === DIVERTED_SID && it.reply !== undefined
          ? { subject: it.subject, reply: it.reply, header: it.header ?? "", data: it.payload }
          : undefined;
      return { text, diverted };
    });
  const otherLine = fc
    .constantFrom("PING\r\n", "PONG\r\n", "+OK\r\n", "-ERR 'MSG 1'\r\n", 'INFO {"max_payload":1}\r\n')
    .map((text) => ({ text, diverted: undefined }));
  const conversation = fc.array(fc.oneof({ weight: 4, arbitrary: message }, otherLine), { maxLength: 20 });

  /** Cuts `bytes` at the given shares of its length. */
  function chunksOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
    const at = cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b);
    const chunks: Buffer[] = [];
    let from = 0;
    for (const to of [...at, bytes.length]) {
      if (to > from) chunks.push(bytes.subarray(from, to));
      from = Math.max(from, to);
    }
    return chunks;
  }

  function check(items: readonly { text: string; diverted: Received | undefined }[], chunks: Buffer[]): void {
    const recorder = new Recorder();
    const library: Uint8Array[] = [];
    const splitter = new MessageSplitter(new Map([[DIVERTED_SID, recorder]]), (bytes) => library.push(bytes));
    for (const chunk of chunks) splitter.push(chunk);
    expect(recorder.received).toEqual(items.flatMap((item) => item.diverted ?? []));
    expect(Buffer.concat(library).toString("latin1")).toBe(
      items.map((item) => (item.diverted === undefined ? item.text : "")).join(""),
    );
  }

  test("gives the same messages however the stream is cut into chunks", () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });
    fc.assert(
      fc.property(conversation, cuts, (items, shares) => {
        const bytes = Buffer.from(items.map((item) => item.text).join(""), "latin1");
        check(items, chunksOf(bytes, shares));
      }),
      { numRuns: 2000 },
    );
  });

  test("also byte by byte", () => {
    fc.assert(
      fc.property(conversation, (items) => {
        const bytes = Buffer.from(items.map((item) => item.text).join(""), "latin1");
        check(
          items,
          Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
        );
      }),
      { numRuns: 50 },
    );
  });

  test("does not gather a large payload of the library, nor copy a large diverted one again and again", () => {
    const piece = Buffer.alloc(64 * 1024, "x");
    const size = 32 * 1024 * 1024;
    for (const sid of [1, DIVERTED_SID]) {
      const recorder = new Recorder();
      let passed = 0;
      const splitter = new MessageSplitter(new Map([[DIVERTED_SID, recorder]]), (bytes) => {
        passed += bytes.length;
      });
      const since = process.cpuUsage();
      splitter.push(Buffer.from(`MSG a ${sid} r ${size}\r\n`));
      for (let sent = 0; sent < size; sent += piece.length) {
        splitter.push(piece);
        if (sid === 1) expect(passed).toBeGreaterThanOrEqual(sent + piece.length);
      }
      splitter.push(Buffer.from("\r\n"));
      expect(process.cpuUsage(since).user / 1000).toBeLessThan(2000);
      expect(recorder.received.length).toBe(sid === 1 ? 0 : 1);
    }
  });

  test("follows a handler that is released while it is called", () => {
    const handlers = new Map<number, DivertedMessages>();
    const recorder = new Recorder();
    handlers.set(DIVERTED_SID, {
      onMessage: (...message) => {
        recorder.onMessage(...message);
        handlers.delete(DIVERTED_SID);
      },
      onChunkEnd: () => undefined,
    });
    const library: Uint8Array[] = [];
    const splitter = new MessageSplitter(handlers, (bytes) => library.push(bytes));
    splitter.push(Buffer.from("MSG a 7 r 1\r\nx\r\nMSG a 7 r 1\r\ny\r\n"));
    expect(recorder.received.map((it) => it.data)).toEqual(["x"]);
    expect(Buffer.concat(library).toString()).toBe("MSG a 7 r 1\r\ny\r\n");
  });
});

describe("a diverting connection", () => {
  let server: TestServer;
  const open: DivertingConnection[] = [];

  beforeAll(async () => {
    server = await startTestServer();
  });

  afterAll(async () => {
    await server.stop();
  });

  afterEach(async () => {
    for (const { connection } of open.splice(0)) await connection.close();
  });

  async function diverting(options: NodeConnectionOptions = {}): Promise<Required<DivertingConnection>> {
    const made = await connectDiverting({
      servers: server.url,
      reconnectTimeWait: 50,
      maxReconnectAttempts: -1,
      ...options,
    });
    open.push(made);
    expect(made.diverter, "the pinned library's internals are as expected").toBeDefined();
    return made as Required<DivertingConnection>;
  }

  test("hands over messages with a reply, with and without headers, in order, and leaves the rest", async () => {
    const { connection, diverter } = await diverting();
    const recorder = new Recorder();
    const left: string[] = [];
    const subscription = connection.subscribe("orders.*", {
      callback: (_error, message) => {
        left.push(message.string());
      },
    });
    diverter?.divert(subscription.getID(), recorder);
    const other: string[] = [];
    connection.subscribe("other", { callback: (_error, message) => void other.push(message.string()) });
    for (let i = 0; i < 100; i++) {
      const withHeaders = i % 3 === 0 ? { headers: headers() } : {};
      withHeaders.headers?.set("A", "b");
      connection.publish(`orders.${i % 2}`, `record ${i}`, { reply: `reply.${i}`, ...withHeaders });
      if (i % 10 === 0) connection.publish("other", `other ${i}`);
      if (i % 25 === 0) connection.publish("orders.0", `no reply ${i}`);
    }
    await connection.flush();
    expect(recorder.received.map((it) => it.data)).toEqual(
      Array.from({ length: 100 }, (_, i) => `record ${i}`),
    );
    expect(recorder.received[3]).toEqual({
      subject: "orders.1",
      reply: "reply.3",
      header: "NATS/1.0\r\nA: b\r\n\r\n",
      data: "record 3",
    });
    expect(recorder.chunks).toBeGreaterThan(0);
    expect(other.length).toBe(10);
    expect(left).toEqual(["no reply 0", "no reply 25", "no reply 50", "no reply 75"]);

    diverter?.release(subscription.getID());
    connection.publish("orders.0", "after the release", { reply: "r" });
    await connection.flush();
    expect(left.at(-1)).toBe("after the release");
  });

  test("goes on diverting after the server was killed, also when others have connected meanwhile", async () => {
    const { connection, diverter } = await diverting();
    const recorder = new Recorder();
    const subscription = connection.subscribe("a", { callback: () => expect.unreachable("diverted") });
    diverter?.divert(subscription.getID(), recorder);
    const plain = await connect({ servers: server.url, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
    await server.kill();
    await server.restart();
    await expect.poll(() => answers(connection)).toBe(true);
    await expect.poll(() => answers(plain)).toBe(true);
    plain.publish("a", "after", { reply: "r" });
    await plain.flush();
    await expect.poll(() => recorder.received.map((it) => it.data)).toEqual(["after"]);
    await plain.close();
  });

  test("does not change the connections of others in the process", async () => {
    await diverting();
    const plain = await connect({ servers: server.url });
    const transport = (plain as unknown as { protocol: { transport: object } }).protocol.transport;
    expect(transport.constructor.name).toBe("NodeTransport");
    await plain.close();
  });

  test("answers requests and moves large payloads like any connection", async () => {
    const { connection } = await diverting();
    const large = "x".repeat(900_000);
    connection.subscribe("echo", { callback: (_error, message) => void message.respond(message.data) });
    const reply = await connection.request("echo", large, { timeout: WAIT_BOUND_MS });
    expect(reply.string()).toBe(large);
  });

  test("passes on the library's errors", async () => {
    await expect(connectDiverting({ servers: "127.0.0.1:1", reconnect: false })).rejects.toThrow(/refused/);
    await expect(connectDiverting({ servers: "ws://127.0.0.1:1" })).rejects.toThrow(/websocket/);
  });
});

describe("internals that are not as expected", async () => {
  const transport = await import("@nats-io/transport-node/lib/node_transport.js");
  const core = await import("@nats-io/nats-core/internal");
  const real = { ...transport, ...core } as unknown as Internals;
  const pick = (changes: Partial<Record<keyof Internals, unknown>>): Internals =>
    ({
      NodeTransport: real.NodeTransport,
      nodeResolveHost: real.nodeResolveHost,
      ProtocolHandler: real.ProtocolHandler,
      NatsConnectionImpl: real.NatsConnectionImpl,
      setTransportFactory: real.setTransportFactory,
      hasWsProtocol: real.hasWsProtocol,
      ...changes,
    }) as Internals;

  test("the pinned ones are", () => {
    expect(internalsAreAsExpected(pick({}))).toBe(true);
  });

  test.each<[string, Partial<Record<keyof Internals, unknown>>]>([
    ["a name is gone", { setTransportFactory: undefined }],
    ["handlers are set up elsewhere", { NodeTransport: class {} }],
    [
      "the transport keeps its bytes elsewhere",
      {
        NodeTransport: class extends real.NodeTransport {
          override setupHandlers(): void {
            this.socket.on("data", () => this.signal.resolve());
          }
        },
      },
    ],
    ["the protocol prepares differently", { ProtocolHandler: class {} }],
    ["the connection is made differently", { NatsConnectionImpl: class {} }],
  ])("are noticed: %s", (_what, changes) => {
    expect(internalsAreAsExpected(pick(changes))).toBe(false);
  });
});

describe("TLS and authentication", () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tidemark-tls-"));
    const key = join(folder, "key.pem");
    const certificate = join(folder, "cert.pem");
    await promisify(execFile)("openssl", [
      ..."req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split(" "),
      ..."-addext subjectAltName=DNS:localhost,IP:127.0.0.1".split(" "),
      "-keyout",
      key,
      "-out",
      certificate,
    ]);
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  test.each([
    ["TLS after the greeting", ""],
    ["TLS first", "handshake_first: 200ms"],
  ])("%s, with user and password, survives a kill of the server", async (_name, handshake) => {
    const tlsServer = await startTestServer({
      configuration: `
        authorization { user: ann, password: secret }
        tls { cert_file: "${folder}/cert.pem", key_file: "${folder}/key.pem", ${handshake} }`,
    });
    try {
      const options: NodeConnectionOptions = {
        servers: `127.0.0.1:${tlsServer.port}`,
        user: "ann",
        pass: "secret",
        tls: { caFile: join(folder, "cert.pem"), ...(handshake === "" ? {} : { handshakeFirst: true }) },
        reconnectTimeWait: 50,
        maxReconnectAttempts: -1,
      };
      await expect(connectDiverting({ ...options, pass: "wrong", reconnect: false })).rejects.toThrow(
        /authorization/i,
      );
      const { connection, diverter } = await connectDiverting(options);
      const recorder = new Recorder();
      const subscription = connection.subscribe("a");
      diverter?.divert(subscription.getID(), recorder);
      for (let i = 0; i < 500; i++) connection.publish("a", `${i} ${"x".repeat(300)}`, { reply: "r" });
      await connection.flush();
      expect(recorder.received.map((it) => Number.parseInt(it.data, 10))).toEqual(
        Array.from({ length: 500 }, (_, i) => i),
      );
      await tlsServer.kill();
      await tlsServer.restart();
      await expect.poll(() => answers(connection)).toBe(true);
      connection.publish("a", "after", { reply: "r" });
      await connection.flush();
      expect(recorder.received.at(-1)?.data).toBe("after");
      await connection.close();
    } finally {
      await tlsServer.stop();
    }
  });
});
