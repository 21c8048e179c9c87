/**
 * The places below which a coordinator writes savepoints: a client names any place, and the leader writes there with
 * the rights of its own user.
 *
 * PL1  A place is below an allowed directory as its path is written, `..` resolved, and as its symbolic links lead.
 *      Directories that are not there yet count as they are written.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { ConfigurationError } from "../errors.ts";
import { parseRoot } from "./savepoint.ts";

const OPTION = "--savepoint-dir";

export class SavepointPlaces {
  /** A coordinator that was told nothing. */
  static readonly anywhere = new SavepointPlaces(null);
  /** undefined: anywhere. */
  readonly #directories: readonly string[] | undefined;
  readonly #buckets: readonly string[];
  readonly #locations: readonly string[];
  readonly #described: string;

  /**
   * @param roots absolute paths, file: URLs, `nats:<bucket>` and `s3://<bucket>/<prefix>`; null: savepoints may be
   *   anywhere
   * @throws ConfigurationError for what is no root
   */
  constructor(roots: readonly string[] | null) {
    const places = (roots ?? []).map(parseRoot);
    const directories = places.flatMap((place) => ("directory" in place ? [resolve(place.directory)] : []));
    this.#directories = roots === null ? undefined : directories;
    this.#buckets = places.flatMap((place) => ("bucket" in place ? [place.bucket] : []));
    this.#locations = places.flatMap((place) => ("location" in place ? [place.location] : []));
    this.#described = [
      ...directories.map((each) => `below ${each}`),
      ...this.#buckets.map((each) => `in nats:${each}`),
      ...this.#locations.map((each) => `below ${each}`),
    ].join(", ");
  }

  get isAnywhere(): boolean {
    return this.#directories === undefined;
  }

  /** Why no savepoint may be written there, as the place is written; null: one may. */
  refusal(root: string): string | null {
    try {
      const place = parseRoot(root);
      if (this.#directories === undefined) return null;
      if ("bucket" in place) return this.#buckets.includes(place.bucket) ? null : this.#notThere(root);
      if ("location" in place) {
        const isThere = this.#locations.some((each) => `${place.location}/`.startsWith(`${each}/`));
        return isThere ? null : this.#notThere(root);
      }
      return isBelow(this.#directories, resolve(place.directory)) ? null : this.#notThere(root);
    } catch (error) {
      if (error instanceof ConfigurationError) return error.message;
      throw error;
    }
  }

  /**
   * Resolves when the directory is below an allowed one as its links lead.
   * @throws ConfigurationError, and the error of the file system
   */
  async prove(directory: string): Promise<void> {
    if (this.#directories === undefined) return;
    const real = await realPathOf(resolve(directory));
    const allowed = await Promise.all(this.#directories.map(realPathOf));
    if (isBelow(allowed, real)) return;
    const found = real === resolve(directory) ? directory : `${directory}, which is ${real}`;
    throw new ConfigurationError("savepoint", this.#notThere(found));
  }

  #notThere(place: string): string {
    return (
      `savepoints may not be written to ${place}: the coordinators write them ${this.#described} only; give a place ` +
      `there, or start the coordinators with ${OPTION} for this one, too`
    );
  }
}

function isBelow(allowed: readonly string[], directory: string): boolean {
  return allowed.some((each) => {
    const way = relative(each, directory);
    return way !== ".." && !way.startsWith(`..${sep}`);
  });
}

/** Where the path leads, down to what is not there yet. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || path === dirname(path)) throw error;
    return join(await realPathOf(dirname(path)), basename(path));
  }
}
