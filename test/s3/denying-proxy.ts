/** Stands between a client and an S3 server, and answers some requests as a policy does that forbids them. */
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** LIST: a GET that is of no object. */
type Denied = "GET" | "PUT" | "DELETE" | "HEAD" | "LIST";

const REFUSAL =
  '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>';

export class DenyingProxy {
  denied: Denied | undefined;
  readonly #server: Server;

  private constructor(target: string) {
    this.#server = createServer((from, to) => {
      if (actOf(from) === this.denied) {
        from.resume();
        to.writeHead(403, { "content-type": "application/xml", connection: "close" }).end(
          from.method === "HEAD" ? undefined : REFUSAL,
        );
        return;
      }
      // With the headers as they are: they are signed.
      const { hostname, port } = new URL(target);
      const { method, url, headers } = from;
      const passed = request({ hostname, port, method, path: url, headers }, (answer) => {
        to.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(to);
      });
      passed.on("error", () => to.destroy());
      from.pipe(passed);
    });
  }

  static async open(target: string): Promise<DenyingProxy> {
    const proxy = new DenyingProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function actOf({ method, url = "" }: IncomingMessage): string | undefined {
  return method === "GET" && /[?&](list-type|uploads)/.test(url) ? "LIST" : method;
}
