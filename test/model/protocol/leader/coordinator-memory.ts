/** What a modelled coordinator keeps: durably for the invariants, and in the variables of its host. */
import type { Event } from "../../process.ts";
import type { ModelCheckpoint, Snapshots } from "../words.ts";
import type { FailureStreak } from "./failure-streak.ts";

export interface CoordinatorDurable {
  readonly booted: boolean;
  /** Checkpoints that it has triggered, and the generations that took them. */
  readonly used: readonly { readonly checkpointId: number; readonly generations: readonly number[] }[];
  readonly manifests: readonly number[];
  readonly deleted: readonly string[];
  /** Savepoints that are complete in their own place. */
  readonly savepoints: readonly number[];
  /** Whose clients were told that they are complete. */
  readonly answered: readonly { readonly request: string; readonly checkpointId: number }[];
}

export interface Memory {
  /** The generations whose messages are heard and answered. */
  readonly live: readonly number[];
  /** Places of the regions that were raised last. */
  readonly raised: readonly number[];
  readonly placement: Readonly<Record<string, string>>;
  readonly pending: Readonly<Record<number, Snapshots>>;
  /** Savepoints of pending checkpoints that are written. */
  readonly written: readonly number[];
  readonly requests: Readonly<Record<string, "pending" | "over">>;
  /** Told to an actor while it waits for its store, in order. */
  readonly deferred: Readonly<Record<string, readonly Event[]>>;
  /** May go after the next stored write. */
  readonly due: readonly string[];
  readonly deletable: readonly string[];
  /**
   * Checkpoints that this leader has given up, where objects are looked at, and what of them may go once the record
   * says so (P48).
   */
  readonly givenUp: Readonly<Record<number, readonly string[]>>;
  /** What the invariants look at if failed checkpoints are not all tolerated. */
  readonly streak: FailureStreak;
  /** Seeded bug only: what recovery was planned with. */
  readonly planned: ModelCheckpoint | null;
}
