/** What every host of machines in a process is given: the same parts for coordinators, workers and subtasks. */
import type { LocalCopies } from "../checkpoint/local-copies.ts";
import type { OpenStorage } from "../checkpoint/savepoint.ts";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import type { Clock } from "../clock.ts";
import type { StoreIdentity } from "../control/store-identity.ts";
import type { Subjects } from "../dataflow/channel/subjects.ts";
import type { Logger } from "../dataflow/connector.ts";
import type { EventFeed } from "../observe/feed.ts";
import type { Troubles } from "../observe/troubles.ts";
import type { StateBackends } from "../state/backends.ts";
import type { Timings } from "./timings.ts";

export interface Surroundings {
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  /** Opens the storage of savepoints. */
  readonly openStorage: OpenStorage;
  readonly clock: Clock;
  /** Random, another one each time. */
  readonly newId: () => string;
  readonly timings: Timings;
  readonly logger: Logger;
  readonly feed: EventFeed;
  /** Code that tries again after a failure tells of it here. */
  readonly troubles: Troubles;
  /** Which record store the process belongs to; undefined: there is only one. */
  readonly identity?: StoreIdentity | undefined;
}

/** The surroundings of worker, generation and subtask: how the subtasks of a process run. */
export interface WorkerSurroundings extends Surroundings {
  /** State up to this size travels in acknowledgements and manifests. */
  readonly inlineBytesMax: number;
  /** Records wait for their frame at most about this long. */
  readonly flushMs: number;
  /** Where keyed state lies. Default: in the heap. */
  readonly backends?: StateBackends | undefined;
  /** Copies of state on a disk of the machine (P102). Default: there are none. */
  readonly copies?: LocalCopies | undefined;
  /** The NATS connection of the connectors; undefined when the job runs in memory. */
  readonly nats: unknown;
}
