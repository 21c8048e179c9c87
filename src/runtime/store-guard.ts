/**
 * Keeps a leader from requests that a process of another cluster sends over the same prefix (P71).
 *
 * Owns: which requests reach the leader, and that the strange ones are told. Does not own: identities
 * (control/store-identity.ts).
 */
import type { ControlLink } from "../control/link.ts";
import type { Addressed, Elsewhere, StoreIdentity } from "../control/store-identity.ts";
import { retryOf } from "../errors.ts";

export interface StoreGuardOptions {
  readonly identity?: StoreIdentity | undefined;
  readonly link: ControlLink;
  /** The leader's process and machine, in words. */
  readonly place: string;
}

export class StoreGuard {
  readonly #options: StoreGuardOptions;

  constructor(options: StoreGuardOptions) {
    this.#options = options;
  }

  /** @param subject that the requests come on, as the log names it */
  around<R extends Addressed, A>(
    subject: string,
    handle: (request: R) => Promise<A>,
  ): (request: R) => Promise<A | Elsewhere> {
    return async (request) => {
      const elsewhere = await this.#elsewhere(request);
      if (elsewhere === undefined) return await handle(request);
      this.#options.link.met(subject, elsewhere.reason);
      return elsewhere;
    };
  }

  async #elsewhere({ store }: Addressed): Promise<Elsewhere | undefined> {
    const { identity, place } = this.#options;
    if (identity === undefined || store === undefined) return undefined;
    try {
      return (await identity.isOther(store)) ? identity.elsewhere(place, store) : undefined;
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      return undefined;
    }
  }
}
