/**
 * Whether more can be given to what takes records: a channel, an edge, a sink. While one of them is full, its subtask
 * takes no input (P25, P27), so a slow reader slows its writers, up to the source.
 *
 * The room of a channel is what its reader has granted and the writer has not used: its credit.
 */
export interface Room {
  /** Whether more can be given; if not, `onRoom` calls when it can. Cheap enough to be asked between two records. */
  hasRoom(): boolean;
  /** Set once. `wake` is called at any time, also spuriously, and only schedules. */
  onRoom(wake: () => void): void;
}
