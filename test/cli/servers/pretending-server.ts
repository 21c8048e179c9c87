/** A real server that says something else than it is, and remembers what it was asked. */
import { connect, createServer } from "node:net";

export interface PretendingServer {
  readonly url: string;
  /** All that clients have sent. */
  asked(): string;
  close(): void;
}

/** @param pretend changes what the server says, which has to keep its length unless it is about the server itself */
export async function startPretendingServer(
  port: number,
  pretend: (text: string) => string,
): Promise<PretendingServer> {
  let asked = "";
  const proxy = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    upstream.on("data", (chunk: Buffer) => client.write(pretend(chunk.toString("latin1")), "latin1"));
    client.on("data", (chunk: Buffer) => {
      asked += chunk.toString("latin1");
      upstream.write(chunk);
    });
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on("close", () => other.destroy());
      one.on("error", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const address = proxy.address() as { readonly port: number };
  return { url: `nats://127.0.0.1:${address.port}`, asked: () => asked, close: () => proxy.close() };
}

/** Older than it is. It introduces itself again to a client that has connected. */
export const startOldServer = (port: number, version: string): Promise<PretendingServer> =>
  startPretendingServer(port, (text) => text.replace(/"version":"[^"]*"/g, `"version":"${version}"`));
