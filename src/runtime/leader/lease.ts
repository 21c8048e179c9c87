/**
 * A lease that this coordinator competes for, and the fencing tokens that come with it.
 *
 * Owns: when the lease's record is read and written. Does not own: when to take it over (machines/leader/lease.ts),
 * what is done while it is held (coordinator.ts).
 *
 * LS1  A token is the revision of a write of the lease by its holder, and all leases lie in one bucket: so tokens of
 *     different leases differ, and the later one is higher (P50).
 * LS2  A lease record that cannot be read as one counts as held until it has not changed for the length of a lease.
 */
import { leaseMachine } from "../../../machines/leader/lease.ts";
import type { LeaseRecord } from "../../../machines/protocol.ts";
import type { Roles } from "../../../machines/roles.ts";
import type { Clock } from "../../clock.ts";
import type { Logger } from "../../dataflow/connector.ts";
import type { TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";
import { retryOf } from "../../errors.ts";
import { encodeLease, parseLease } from "../../formats/lease.ts";
import { shellCommand } from "../../shell-command.ts";
import { type AnswerOf, type EffectHandlers, Host } from "../actor.ts";
import type { RecordStore } from "../record-store.ts";

export interface LeaseOptions {
  /** Random per process start. */
  readonly holder: string;
  /** The holder's process and machine, for messages. */
  readonly place: string;
  readonly key: string;
  readonly leaseMs: number;
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: TroubleWatcher;
  readonly onBegun: (token: number) => void;
  readonly onEnded: () => void;
  readonly onCrash: (error: unknown) => void;
}

/** The lease of all jobs of the cluster, or of one job alone. */
export const leaseKey = (job?: string): string => (job === undefined ? "lease" : `lease.${job}`);

type LeaseAnswer<E extends keyof Roles["lease"]["answers"]> = AnswerOf<Roles["lease"], E>;

export class Lease {
  readonly #options: LeaseOptions;
  readonly #host: Host;
  readonly #trouble: TroubleWatch;
  /** 0 while following. */
  #token = 0;
  /** The revision of my latest write. */
  #revision = 0;
  #seen = { revision: -1, holder: "" };
  #rival: string | undefined;
  #released: (() => void) | undefined;
  #stopped = false;
  /** Those that wait for something to change here. */
  #waiting: (() => void)[] = [];

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#trouble = options.troubles.watch("reading or writing the lease of the leader");
    this.#host = new Host({ clock: options.clock, onCrash: options.onCrash });
  }

  /** 0 while another one leads. */
  get token(): number {
    return this.#token;
  }

  start(): void {
    const { holder, leaseMs } = this.#options;
    this.#host.start({
      id: "lease",
      machine: leaseMachine,
      input: { holder, leaseMs },
      handlers: this.#handlers(),
    });
  }

  /** Gives it back, so that a standby takes over at once. */
  async stop(): Promise<void> {
    if (this.#token !== 0) {
      const released = new Promise<void>((resolve) => {
        this.#released = resolve;
      });
      this.#host.send("lease", { type: "release.requested" });
      await released;
    }
    this.#stopped = true;
    this.#end();
    this.#host.close();
  }

  /** A token of this lease above `token`; undefined when it is not held any more. */
  async tokenAbove(token: number): Promise<number | undefined> {
    while (this.#token !== 0) {
      if (this.#token > token) return this.#token;
      if (this.#revision > token) return this.#revision;
      await this.#change();
    }
    return undefined;
  }

  /** The place of another coordinator that has been seen to renew the lease; undefined once it is held here. */
  async rival(): Promise<string | undefined> {
    while (this.#token === 0 && this.#rival === undefined) await this.#change();
    return this.#token === 0 ? this.#rival : undefined;
  }

  /** Resolves while another coordinator is seen to renew it, or when this one competes no more. */
  async untilLedElsewhere(): Promise<void> {
    while (!this.#stopped && (this.#token !== 0 || this.#rival === undefined)) await this.#change();
  }

  #handlers(): EffectHandlers<"lease"> {
    return {
      "read.lease": () => this.#read(),
      "store.lease": ({ token, revision, released }) => this.#store(token, revision, released),
      "begin.leadership": ({ token }) => {
        this.#token = token;
        this.#rival = undefined;
        this.#options.onBegun(token);
        this.#changed();
      },
      "end.leadership": () => this.#end(),
      "end.candidature": () => this.#released?.(),
    };
  }

  async #read(): Promise<LeaseAnswer<"read.lease">> {
    const { store, key, holder } = this.#options;
    try {
      const found = await store.read(key);
      if (found === undefined) {
        this.#trouble.passed();
        return this.#saw(0, "", true, "");
      }
      const lease = parseLease(found.value);
      if ("problem" in lease) this.#isNone(found.revision, lease.problem);
      else this.#trouble.passed();
      const {
        holder: other,
        place,
        released,
      } = "value" in lease ? lease.value : { holder: "?", place: "?", released: false };
      if (other === holder) this.#revision = found.revision;
      return this.#saw(found.revision, other, released, place);
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      this.#trouble.failed(error);
      return { type: "lease.unreadable" };
    }
  }

  /** Told once of each that is written there, and as a trouble if that does not end. */
  #isNone(revision: number, problem: string): void {
    const { store, key, leaseMs, logger } = this.#options;
    const said =
      `record "${key}" of KV bucket ${store.bucket} is no lease (${problem}): another program or version has written it. It is ` +
      `taken over when it has not changed for ${leaseMs} ms. If it goes on changing, take what writes it off the bucket, then ` +
      `delete it with "${shellCommand("nats", "kv", "del", store.bucket, key)}"`;
    this.#trouble.failed(new Error(said));
    if (this.#seen.revision !== revision) logger.warn({ key, revision }, said);
  }

  #saw(revision: number, holder: string, released: boolean, place: string): LeaseAnswer<"read.lease"> {
    const renewed = this.#seen.holder === holder && this.#seen.revision !== revision;
    this.#seen = { revision, holder };
    this.#rival = renewed && !released && holder !== this.#options.holder ? place : undefined;
    this.#changed();
    return { type: "lease.seen", seen: { revision, holder, released } };
  }

  async #store(token: number, revision: number, released: boolean): Promise<LeaseAnswer<"store.lease">> {
    const { store, key, holder, place } = this.#options;
    try {
      const record: LeaseRecord = { holder, place, token, renewals: 0, released };
      const value = encodeLease(record);
      let answer = await store.compareAndSet(key, value, revision);
      // A renewal whose outcome was unknown was stored after all. A standby shall not wait for what is given back.
      const ownRevision = answer.outcome === "refused" && released ? await this.#ownRevision() : undefined;
      if (ownRevision !== undefined) answer = await store.compareAndSet(key, value, ownRevision);
      this.#trouble.passed();
      if (answer.outcome === "refused") return { type: "lease.refused" };
      this.#revision = answer.revision;
      this.#changed();
      return { type: "lease.stored", revision: answer.revision };
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      this.#trouble.failed(error);
      return { type: "lease.unknown" };
    }
  }

  /** The revision of the lease as it is stored; undefined: another coordinator holds it. */
  async #ownRevision(): Promise<number | undefined> {
    const { store, key, holder } = this.#options;
    const found = await store.read(key);
    const lease = found && parseLease(found.value);
    return lease !== undefined && "value" in lease && lease.value.holder === holder
      ? found?.revision
      : undefined;
  }

  #end(): void {
    if (this.#token !== 0) {
      this.#token = 0;
      this.#options.onEnded();
    }
    this.#changed();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #changed(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
