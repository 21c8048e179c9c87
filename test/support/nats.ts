/** A throw-away nats-server on a free port of 127.0.0.1. */

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly storeDir: string;
  /** Ends the process as it is; the store stays. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and store. */
  restart(): Promise<void>;
  /** Ends it and removes the store. */
  stop(): Promise<void>;
}
