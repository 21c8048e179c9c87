/**
 * `/healthz` for container health checks: 200 while the process can do its work, 503 with the reason while it cannot.
 */
import { createServer, type Server } from "node:http";
import { EnvironmentError } from "../../errors.ts";

export interface Health {
  readonly healthy: boolean;
  readonly [detail: string]: unknown;
}

/**
 * @param host an address of this machine: others reach it only where the user says so
 * @throws EnvironmentError when nothing can listen there
 */
export async function serveHealth(port: number, host: string, health: () => Health): Promise<Server> {
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
        new EnvironmentError(
          `health checks cannot listen on port ${port} of ${host}; choose another --health-port or --health-host`,
          { cause },
        ),
      ),
    );
    server.listen(port, host, () => resolve());
  });
  return server;
}
