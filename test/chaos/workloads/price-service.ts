/**
 * The service that jobs ask for prices: slow at times, it fails at times, hangs up on some requests, never answers a
 * few, and knows no price for some records however often it is asked. Chance is that of the request: the same ones come
 * to the same.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { scatter } from "./scatter.ts";

const SLOW_MS_MAX = 25;
/** Percent of the requests. */
const FAILING = 15;
const HUNG_UP = 3;
const UNANSWERED = 1;

export const priceOf = (key: string, n: number): number => Number(key.slice(1)) * 1000 + n * 7;

export const hasPrice = (n: number): boolean => n % 16 !== 5;

/** What one job has asked: for each request ("ordered k3 17") the ids that came with it. */
export type ServiceLog = ReadonlyMap<string, ReadonlySet<string>>;

const NOTHING_ASKED: ServiceLog = new Map();

export class PriceService {
  readonly #server: Server;
  readonly #asked = new Map<string, Map<string, Set<string>>>();
  #requests = 0;

  private constructor() {
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  static async start(): Promise<PriceService> {
    const service = new PriceService();
    service.#server.listen(0, "127.0.0.1");
    await once(service.#server, "listening");
    return service;
  }

  /** The address for the job of that name. */
  addressFor(job: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${job}`;
  }

  askedBy(job: string): ServiceLog {
    return this.#asked.get(job) ?? NOTHING_ASKED;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const [, job, branch, key, n] = request.url!.split("/") as [string, string, string, string, string];
    this.#note(job, `${branch} ${key} ${n}`, String(request.headers["idempotency-key"]));
    const chance = scatter(++this.#requests);
    const answer = (): void => {
      if (!hasPrice(Number(n))) response.writeHead(404).end();
      else response.end(JSON.stringify({ key, n: Number(n), price: priceOf(key, Number(n)) }));
    };
    const percent = chance % 100;
    if (percent < UNANSWERED) return;
    if (percent < UNANSWERED + HUNG_UP) request.socket.destroy();
    else if (percent < UNANSWERED + HUNG_UP + FAILING) response.writeHead(503).end();
    else setTimeout(answer, (chance >>> 8) % SLOW_MS_MAX);
  }

  #note(job: string, what: string, id: string): void {
    const asked = this.#asked.get(job) ?? new Map<string, Set<string>>();
    this.#asked.set(job, asked);
    const ids = asked.get(what) ?? new Set();
    asked.set(what, ids.add(id));
  }
}
