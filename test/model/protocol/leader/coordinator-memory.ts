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
  /** The outcomes that clients were told. */
  readonly answered: readonly Answered[];
}

interface WrittenSavepoint {
  readonly snapshots: Snapshots;
  readonly written: boolean;
}

export interface Answered {
  readonly request: string;
  readonly state: "completed" | "failed";
  /** What serves it, as its client hears; 0: nothing. */
  readonly checkpointId: number;
}

export interface Memory {
  /** The generations whose messages are heard and answered. */
  readonly live: readonly number[];
  /** Places of the regions that were raised last. */
  readonly raised: readonly number[];
  readonly placement: Readonly<Record<string, string>>;
  readonly pending: Readonly<Record<number, Snapshots>>;
  /** What was pending when a generation was raised and is not given up yet, where objects are looked at. */
  readonly outlived: Readonly<Record<number, Snapshots>>;
  /** Savepoints that are being written or are, also those of a generation that is over. */
  readonly savepoints: Readonly<Record<number, WrittenSavepoint>>;
  /** Told to an actor while it waits for its store, in order. */
  readonly deferred: Readonly<Record<string, readonly Event[]>>;
  /** May go after the next stored write. */
  readonly due: readonly string[];
  readonly deletable: readonly string[];
  /** By a pending checkpoint: what the one reaches that it may rest on (P81). */
  readonly bases: Readonly<Record<number, readonly string[]>>;
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
