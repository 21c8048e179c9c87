/**
 * A NATS connection whose messages can be taken before the library parses them, and that takes commands as bytes.
 *
 * nats.js spends about a third of a reader's time in turning bytes into Msg objects. Here the
 * node transport is subclassed: the messages of registered subscriptions go to a handler as byte positions, everything
 * else goes to the library.
 *
 * Commands made by the caller join the library's own outgoing bytes, in the order of the calls.
 *
 * Owns: which subscriptions are diverted. Does not own: dialing, TLS, authentication, reconnect, pings, subscriptions:
 * all of that is the library's code, unchanged.
 *
 * - DT1 Rests on internals of @nats-io/transport-node and nats-core 3.4, listed in `Internals`. They are checked before
 *   use; when they are not as expected, the connection is the library's own and there is no diverter.
 * - DT2 Each connection keeps its own transport, whatever else connects in this process. The library's global transport
 *   factory is ours only while one synchronous call reads it, and is left as the public `connect` leaves it.
 * - DT3 A new transport (reconnect) starts with a new splitter; subscription ids live on, so diversions do too.
 */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";
import { InvariantError } from "../../errors.ts";
import { type DivertedMessages, MessageSplitter } from "./message-splitter.ts";

export type { DivertedMessages } from "./message-splitter.ts";

/** Says which subscriptions' messages go to a handler instead of the subscription's callback. */
export class Diverter {
  readonly #handlers = new Map<number, DivertedMessages>();

  /** What the transport reads for every message. */
  get handlers(): ReadonlyMap<number, DivertedMessages> {
    return this.#handlers;
  }

  /**
   * From now on the messages of this subscription that have a reply subject go to `handler`; the others (status
   * messages) still reach the subscription's callback, later than the messages around them.
   * @param sid `Subscription.getID()`
   */
  divert(sid: number, handler: DivertedMessages): void {
    if (this.#handlers.has(sid)) throw new InvariantError(`subscription ${sid} is diverted twice`);
    this.#handlers.set(sid, handler);
  }

  /** The subscription's messages reach its callback again. Unknown ids are ignored. */
  release(sid: number): void {
    this.#handlers.delete(sid);
  }
}

/**
 * Sends whole commands of the NATS protocol ("HPUB …") as they are; while disconnected they wait, as the library's do.
 */
export type SendCommands = (bytes: Uint8Array) => void;

/** Parts are undefined when the library's internals are not as expected: everything works, only slower. */
export interface DivertingConnection {
  readonly connection: NatsConnection;
  readonly diverter: Diverter | undefined;
  readonly sendCommands: SendCommands | undefined;
}

/**
 * Like the library's `connect`, with the same options and errors, but that it also says at once why a server refuses.
 * @param divert default true; false: no message is diverted, and no command sent
 */
export async function connectDiverting(
  options: NodeConnectionOptions,
  divert = true,
): Promise<DivertingConnection> {
  const internals = await loadInternals();
  if (internals === undefined || internals.hasWsProtocol(options)) {
    return { connection: await connect(options), diverter: undefined, sendCommands: undefined };
  }
  const diverter = divert ? new Diverter() : undefined;
  const { connection, protocol } = await connectThrough(internals, diverter, options);
  return {
    connection,
    diverter,
    sendCommands: divert ? (bytes) => protocol.sendCommand(bytes) : undefined,
  };
}

// What is used of the library beyond its public interface, and nothing more.

interface NodeTransport {
  socket: EventEmitter;
  /** Bytes that the library has not parsed yet. */
  yields: Uint8Array[];
  /** Resolved when there is something in `yields`. */
  signal: { resolve(): void };
  /** Called by the library's `connect` when the socket is final, TLS included. */
  setupHandlers(): void;
}

interface ProtocolHandler {
  /** Called before each dial: makes a new transport by the global factory, synchronously. */
  prepare(): unknown;
  dialLoop(): Promise<void>;
  /** Called with each error that the server tells. */
  handleError(error: Error): void;
  /** Ends the present dial; undefined: none is under way. */
  connectError?: ((error: Error) => void) | undefined;
  /** Appends to what is to be sent. */
  sendCommand(command: Uint8Array): void;
}

interface ConnectionImplementation {
  readonly options: unknown;
  protocol: ProtocolHandler;
}

export interface Internals {
  readonly NodeTransport: new () => NodeTransport;
  readonly nodeResolveHost: (host: string) => Promise<string[]>;
  readonly ProtocolHandler: new (options: unknown, publisher: unknown) => ProtocolHandler;
  readonly NatsConnectionImpl: new (options: NodeConnectionOptions) => ConnectionImplementation;
  readonly setTransportFactory: (config: {
    factory: () => unknown;
    dnsResolveFn: (host: string) => Promise<string[]>;
  }) => void;
  readonly hasWsProtocol: (options: NodeConnectionOptions) => boolean;
}

/** undefined when they are not there or do not behave as expected (DT1). */
async function loadInternals(): Promise<Internals | undefined> {
  try {
    // Imported late, so that a missing file or name is a fallback and not a failure to start.
    const [transport, core] = await Promise.all([
      import("@nats-io/transport-node/lib/node_transport.js"),
      import("@nats-io/nats-core/internal"),
    ]);
    const candidate = {
      NodeTransport: transport.NodeTransport,
      nodeResolveHost: transport.nodeResolveHost,
      ProtocolHandler: core.ProtocolHandler,
      NatsConnectionImpl: core.NatsConnectionImpl,
      setTransportFactory: core.setTransportFactory,
      hasWsProtocol: core.hasWsProtocol,
    } as unknown as Internals;
    return internalsAreAsExpected(candidate) ? candidate : undefined;
  } catch {
    return undefined;
  }
}

/** Looks at the names, and runs the one part whose behaviour matters against a socket of ours. */
export function internalsAreAsExpected(internals: Internals): boolean {
  const { NodeTransport, ProtocolHandler, NatsConnectionImpl } = internals;
  for (const member of Object.values(internals)) if (typeof member !== "function") return false;
  if (typeof ProtocolHandler.prototype.prepare !== "function") return false;
  if (typeof ProtocolHandler.prototype.dialLoop !== "function") return false;
  if (typeof ProtocolHandler.prototype.handleError !== "function") return false;
  if (typeof ProtocolHandler.prototype.sendCommand !== "function") return false;
  if (NatsConnectionImpl.length !== 1 || ProtocolHandler.length !== 2) return false;
  try {
    const transport = new NodeTransport();
    const socket = new EventEmitter();
    let signalled = false;
    transport.socket = socket;
    transport.signal = { resolve: () => (signalled = true) };
    transport.setupHandlers();
    const frame = Buffer.from("PING\r\n");
    const listening = socket.listenerCount("data") === 1;
    socket.emit("data", frame);
    return listening && signalled && transport.yields.length === 1 && transport.yields[0] === frame;
  } catch {
    return false;
  }
}

async function connectThrough(
  internals: Internals,
  diverter: Diverter | undefined,
  options: NodeConnectionOptions,
): Promise<{ readonly connection: NatsConnection; readonly protocol: ProtocolHandler }> {
  const { NodeTransport, ProtocolHandler, NatsConnectionImpl, nodeResolveHost, setTransportFactory } =
    internals;
  const Transport = diverter === undefined ? NodeTransport : divertingTransport(internals, diverter);
  const connection = new NatsConnectionImpl(options);
  const protocol = new ProtocolHandler(connection.options, connection);
  const prepare = protocol.prepare.bind(protocol);
  protocol.prepare = () => {
    setTransportFactory({ factory: () => new Transport(), dnsResolveFn: nodeResolveHost });
    try {
      return prepare();
    } finally {
      setTransportFactory({ factory: () => new NodeTransport(), dnsResolveFn: nodeResolveHost });
    }
  };
  // The library waits for its timeout, and tells of that, where the server has said why it refuses.
  const handleError = protocol.handleError.bind(protocol);
  protocol.handleError = (error) => {
    handleError(error);
    protocol.connectError?.(error);
  };
  // The resolver of host names is read before the first `prepare`.
  setTransportFactory({ factory: () => new NodeTransport(), dnsResolveFn: nodeResolveHost });
  await protocol.dialLoop();
  connection.protocol = protocol;
  return { connection: connection as unknown as NatsConnection, protocol };
}

function divertingTransport({ NodeTransport }: Internals, diverter: Diverter): new () => NodeTransport {
  return class DivertingTransport extends NodeTransport {
    override setupHandlers(): void {
      super.setupHandlers();
      const splitter = new MessageSplitter(diverter.handlers, (bytes) => {
        this.yields.push(bytes);
        this.signal.resolve();
      });
      const socket = this.socket as Socket;
      const theirs = socket.listeners("data").at(-1) as (chunk: Buffer) => void;
      socket.off("data", theirs);
      socket.on("data", (chunk: Buffer) => splitter.push(chunk));
      // The server's greeting was read while connecting; it may end in the middle of a line.
      for (const chunk of this.yields.splice(0)) splitter.push(chunk as Buffer);
    }
  };
}
