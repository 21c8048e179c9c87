/**
 * `/healthz` for container health checks: 200 while the process can do its work, 503 with the reason while it cannot.
 */
import { createServer, type Server } from "node:http";
import { EnvironmentError } from "../../errors.ts";

export interface Health {
  readonly healthy: boolean;
  readonly [detail: string]: unknown;
}

/** Listens on all interfaces. @throws EnvironmentError when the port is taken */
export async function serveHealth(port: number, health: () => Health): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url !== "/healthz") {
      response.writeHead(404).end();
      return;
    }
    const now = health();
    response.writeHead(now.healthy ? 200 : 503, { "content-type": "application/json" });
    response.end(`${JSON.stringify(now)}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new EnvironmentError(`health checks cannot listen on port ${port}; choose another --health-port`, {
          cause,
        }),
      ),
    );
    server.listen(port, () => resolve());
  });
  return server;
}
