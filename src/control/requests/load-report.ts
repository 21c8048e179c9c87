/** How a subtask has spent its time, as its worker tells the leader. */
export interface LoadReport {
  /** Since its generation began: in turns of its own, which no other subtask of the process has meanwhile. */
  readonly busyMs: number;
  /** Waiting for room behind it. */
  readonly backPressuredMs: number;
  /** How many records its source has left to read. Left out: it is no source, or does not tell. */
  readonly pending?: number;
}
