/**
 * Savepoints are their users' (P37): what the record has named stays whole until a job that claims it has a checkpoint
 * of its own, and is gone then.
 */
import type { JobRecord } from "../../../machines/protocol.ts";
import { splitLocation } from "../../../src/checkpoint/savepoint.ts";

export class KeptSavepoints {
  readonly findings: string[] = [];
  /** By directory: the location of a savepoint that is complete. */
  readonly #complete = new Map<string, string>();
  /** Locations that a job may delete. */
  readonly #claimed = new Set<string>();
  /** By job. */
  readonly #records = new Map<string, JobRecord>();

  recordStored(record: JobRecord): void {
    const { origin, savepoints, job } = record;
    this.#records.set(job, record);
    for (const { location } of savepoints) this.#complete.set(splitLocation(location).name, location);
    if (origin?.mode === "claimed") this.#claimed.add(origin.location);
  }

  /** @param name of an object where savepoints lie */
  deleted(name: string): void {
    const location = this.#complete.get(name.split("/")[0]!);
    if (location !== undefined && !this.#claimed.has(location))
      this.findings.push(`P37: ${name} is deleted, and ${location} is its user's`);
  }

  /** @param names of all objects that are left where savepoints lie. @returns what no job will delete any more */
  leftOf(names: readonly string[]): string[] {
    // What the record still names is left to the job's next start.
    const awaited = new Set([...this.#records.values()].flatMap(({ begunSavepoints }) => begunSavepoints));
    return [...this.#claimed]
      .filter((location) => !awaited.has(location))
      .filter((location) => names.some((name) => name.startsWith(`${splitLocation(location).name}/`)))
      .map((location) => `left behind: the claimed savepoint ${location}`);
  }
}
