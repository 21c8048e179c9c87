/**
 * Prices to try the example with: `node dist/src/examples/enrichment/service.js` serves them at port 8090 (`PORT`).
 * Each fifth request fails.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

let requests = 0;

const service = createServer((request, response) => {
  const item = Number(request.url?.split("/").at(-1));
  requests++;
  if (requests % 5 === 0) {
    console.log(`no price for item ${item} this time`);
    response.writeHead(503).end();
    return;
  }
  response.end(JSON.stringify({ price: item * 3 + 1 }));
});

service.listen(Number(process.env.PORT ?? 8090), "127.0.0.1", () => {
  console.log(`serving prices at http://127.0.0.1:${(service.address() as AddressInfo).port}`);
});
