/**
 * Which record store a process works with, and whether a request comes from the cluster of another one (P71).
 *
 * Control subjects may reach further than JetStream does: between two sites with JetStream domains of their own, joined
 * by a leaf node, only the prefix keeps two clusters apart.
 *
 * Owns: looking the identity up, and again where another process names another one. Does not own: what an identity is
 * (the record store; of a KV bucket, when its stream was made), what becomes of a request (coordinator.ts).
 *
 * - IS1 A process that cannot tell its store (it lacks the permission to look) names none, and is taken for one of the
 *   same cluster.
 * - IS2 A store that was put back from a backup may have another identity. So each side looks again before it says that
 *   the other one is a stranger, once a second at most.
 */
import type { Clock } from "../clock.ts";
import { DisconnectedError, RequestTimeoutError } from "../errors.ts";

/** The identity of a process that finds no record store: no leader has this one. */
export const NO_STORE = "none";

const LOOK_EVERY_MS = 1000;
const LOOK_AGAIN_MS = 30_000;

/** What a request to a leader names beside what it asks. Left out: its sender cannot tell. */
export interface Addressed {
  /** The identity of the sender's record store. */
  readonly store?: string;
}

/** What a leader says to a process of another cluster. It is no answer: that one's own leader gives it. */
export interface Elsewhere {
  readonly answer: "elsewhere";
  readonly reason: string;
}

export interface StoreIdentityOptions {
  /** undefined: there is no record store. @throws when it cannot be asked for */
  readonly find: () => Promise<string | undefined>;
  readonly prefix: string;
  readonly bucket: string;
  readonly clock: Pick<Clock, "elapsedMs">;
}

export class StoreIdentity {
  readonly #options: StoreIdentityOptions;
  #known: string | undefined;
  #isDoubted = true;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  /** The failure of the last look, if it may pass and nothing is known yet. */
  #failure: Error | undefined;

  constructor(options: StoreIdentityOptions) {
    this.#options = options;
  }

  /** undefined: it cannot be told. @throws DisconnectedError, RequestTimeoutError while it is not known yet */
  async id(): Promise<string | undefined> {
    const pauseMs = this.#isDoubted ? LOOK_EVERY_MS : LOOK_AGAIN_MS;
    const isSure = this.#known !== undefined && !this.#isDoubted;
    if (!isSure && this.#options.clock.elapsedMs() - this.#lookedMs >= pauseMs) await this.#look();
    else await this.#looking;
    if (this.#failure !== undefined) throw this.#failure;
    return this.#known;
  }

  /** A process of another store has answered, or asked. */
  doubt(): void {
    this.#isDoubted = true;
  }

  /** @param store that a request names */
  async isOther(store: string | undefined): Promise<boolean> {
    const isOther = (own: string | undefined) => store !== undefined && own !== undefined && store !== own;
    if (!isOther(await this.id())) return false;
    this.doubt();
    return isOther(await this.id());
  }

  /** @param place of this process, @param store that the request names */
  elsewhere(place: string, store: string): Elsewhere {
    const { prefix, bucket } = this.#options;
    const theirs =
      store === NO_STORE ? "the one that asks finds no such bucket" : `that of the one that asks on ${store}`;
    return {
      answer: "elsewhere",
      reason:
        `two clusters use the prefix ${prefix}, and this request has reached the coordinator of the other one, ${place} ` +
        `(its KV bucket ${bucket} was made on ${this.#known}, ${theirs}): give one of the two clusters another --prefix`,
    };
  }

  async #look(): Promise<void> {
    this.#lookedMs = this.#options.clock.elapsedMs();
    this.#looking = (async () => {
      try {
        this.#known = (await this.#options.find()) ?? NO_STORE;
        this.#isDoubted = this.#known === NO_STORE;
        this.#failure = undefined;
      } catch (error) {
        const isPassing = error instanceof DisconnectedError || error instanceof RequestTimeoutError;
        this.#isDoubted = isPassing;
        this.#failure = isPassing && this.#known === undefined ? error : undefined;
      }
    })();
    await this.#looking;
  }
}

/** The request with the sender's store. */
export async function withStore<T extends object>(
  request: T,
  identity: StoreIdentity | undefined,
): Promise<T & Addressed> {
  const store = await identity?.id();
  return store === undefined ? request : { ...request, store };
}
