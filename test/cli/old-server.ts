/** A real server that says of itself that it is older than it is. */
import { connect, createServer } from "node:net";

export async function startOldServer(
  port: number,
  version: string,
): Promise<{ readonly url: string; close(): void }> {
  const proxy = createServer((client) => {
    const upstream = connect(port, "127.0.0.1");
    // It introduces itself again to a client that has connected.
    upstream.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      client.write(text.replace(/"version":"[^"]*"/g, `"version":"${version}"`), "latin1");
    });
    client.on("data", (chunk: Buffer) => upstream.write(chunk));
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
  return { url: `nats://127.0.0.1:${address.port}`, close: () => proxy.close() };
}
