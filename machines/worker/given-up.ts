/**
 * Checkpoints that were aborted before their barrier came: their barrier, when it comes, is answered with a cancel
 * marker. The memory is bounded; what is much older than the newest of them counts as aborted.
 */

const MEMORY = 128;

/** Ids in order. */
export type GivenUp = readonly number[];

export function remember(givenUp: GivenUp, checkpointId: number): GivenUp {
  if (givenUp.includes(checkpointId)) return givenUp;
  return [...givenUp, checkpointId].sort((a, b) => a - b).slice(-MEMORY);
}

export function wasGivenUp(givenUp: GivenUp, checkpointId: number): boolean {
  return givenUp.includes(checkpointId) || checkpointId + MEMORY < (givenUp.at(-1) ?? 0);
}

/** Barriers up to this one are late from here on, so nothing about them needs to be remembered. */
export function forgetUpTo(givenUp: GivenUp, checkpointId: number): GivenUp {
  return givenUp.some((id) => id <= checkpointId) ? givenUp.filter((id) => id > checkpointId) : givenUp;
}
