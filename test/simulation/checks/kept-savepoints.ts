/**
 * Savepoints are their users' (P37): what the record has named stays whole until a job that claims it has a checkpoint
 * of its own.
 */
import type { JobRecord } from "../../../machines/protocol.ts";
import { splitLocation } from "../../../src/checkpoint/savepoint.ts";

export class KeptSavepoints {
  readonly findings: string[] = [];
  /** By directory: the location of a savepoint that is complete. */
  readonly #complete = new Map<string, string>();
  /** Locations that a job may delete. */
  readonly #claimed = new Set<string>();

  recordStored({ origin, savepoints }: JobRecord): void {
    for (const { location } of savepoints) this.#complete.set(splitLocation(location).name, location);
    if (origin?.mode === "claimed") this.#claimed.add(origin.location);
  }

  /** @param name of an object where savepoints lie */
  deleted(name: string): void {
    const location = this.#complete.get(name.split("/")[0]!);
    if (location !== undefined && !this.#claimed.has(location))
      this.findings.push(`P37: ${name} is deleted, and ${location} is its user's`);
  }
}
