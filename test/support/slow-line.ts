/**
 * A line to a server that can be made slow in one direction: what a client sends takes its time, what it receives does
 * not.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const SLICE_BYTES = 64 * 1024;

export class SlowLine {
  /** What a client sends, of all connections together. */
  bytesPerMs = Number.POSITIVE_INFINITY;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: number) {
    this.#server = createServer((client) => this.#join(client, connect(target, "127.0.0.1")));
  }

  static async to(url: string): Promise<SlowLine> {
    const line = new SlowLine(Number(new URL(url).port));
    await new Promise<void>((resolve) => line.#server.listen(0, "127.0.0.1", resolve));
    return line;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, server: Socket): void {
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    server.pipe(client);
    void this.#forward(client, server);
  }

  async #forward(client: Socket, server: Socket): Promise<void> {
    try {
      for await (const data of client as AsyncIterable<Buffer>)
        for (let at = 0; at < data.length; at += SLICE_BYTES) {
          const slice = data.subarray(at, at + SLICE_BYTES);
          if (Number.isFinite(this.bytesPerMs)) await sleep(slice.length / this.bytesPerMs);
          if (!server.write(slice)) await new Promise((resolve) => server.once("drain", resolve));
        }
    } catch {
      // The client was killed.
    }
  }
}
