/** What was deleted because a client asked for it. */

/** What `job.dispose` has deleted. */
export interface DisposalReport {
  /** The ids of the retained checkpoints that were deleted. */
  readonly checkpoints: readonly number[];
  /** The deleted checkpoint whose output may not be committed in full; what is not committed yet never will be. */
  readonly abandoned: number | null;
  readonly objects: number;
  readonly bytes: number;
  /** The names of the objects, the first hundred. */
  readonly names: readonly string[];
}

/** What `job.gc` has deleted. */
export interface CollectionReport {
  readonly objects: number;
  readonly bytes: number;
  /** The names of the objects, the first hundred. */
  readonly names: readonly string[];
  /** How many of the deleted objects were left by puts that never ended. */
  readonly unfinished: number;
}
