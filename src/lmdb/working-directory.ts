/**
 * The directory in which one worker's process keeps the stores of its state.
 *
 * Owns: who has it, and that it goes with its owner, or when a later worker finds that the owner is gone. Does not own:
 * what is in it (row-store.ts).
 *
 * - WD1 Each process has a directory of its own below the root, so any number of workers, of any jobs, may have one
 *   root. One that is there already is refused, and the message says whose it is.
 * - WD2 What a process leaves behind that was killed is worthless, and is removed by the next worker with that root:
 *   when the owner is gone from the same host, and has not said for two minutes that it lives. Both, because the
 *   processes of two containers may have one host name.
 */
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { makeDirectoriesNow } from "../directories.ts";
import { describeError, EnvironmentError } from "../errors.ts";

const OWNER = "owner.json";
const SAYS_EVERY_MS = 30_000;
const GONE_AFTER_MS = 120_000;

interface Owner {
  readonly job: string;
  readonly pid: number;
  readonly host: string;
}

export interface WorkingDirectoryOptions {
  readonly root: string;
  readonly job: string;
  /** Random: the name of the directory below the root. */
  readonly name: string;
  readonly clock: Clock;
}

export class WorkingDirectory {
  readonly path: string;
  private readonly clock: Clock;
  private readonly ends = new Set<Promise<void>>();
  private isOpen = true;

  private constructor(path: string, clock: Clock) {
    this.path = path;
    this.clock = clock;
    process.once("exit", this.removeNow);
    this.sayAlive();
  }

  /** @throws EnvironmentError: it cannot be made, or belongs to another process */
  static async claim({ root, job, name, clock }: WorkingDirectoryOptions): Promise<WorkingDirectory> {
    const path = join(root, name);
    try {
      makeDirectoriesNow(root);
      await removeAbandoned(root, clock);
      mkdirSync(path, { mode: 0o700 });
      const owner: Owner = { job, pid: process.pid, host: hostname() };
      writeFileSync(join(path, OWNER), JSON.stringify(owner), { flag: "wx" });
    } catch (error) {
      throw refusal(path, error);
    }
    return new WorkingDirectory(path, clock);
  }

  /** Makes a directory in it. @throws EnvironmentError: there is one of this name, or it cannot be made */
  make(name: string): string {
    const path = join(this.path, name);
    try {
      mkdirSync(path);
    } catch (error) {
      throw refusal(path, error);
    }
    return path;
  }

  /** The directory is not removed before this is done. */
  ending(done: Promise<void>): void {
    const settled = done.catch(() => undefined).then(() => void this.ends.delete(settled));
    this.ends.add(settled);
  }

  /** Removes it, with all that is in it. */
  async close(): Promise<void> {
    this.isOpen = false;
    await Promise.all(this.ends);
    await rm(this.path, { recursive: true, force: true });
    process.off("exit", this.removeNow);
  }

  /** For a process that ends before it has closed it. */
  private readonly removeNow = (): void => {
    rmSync(this.path, { recursive: true, force: true });
  };

  private sayAlive(): void {
    if (!this.isOpen) return;
    try {
      const now = new Date(this.clock.nowMs());
      utimesSync(join(this.path, OWNER), now, now);
    } catch {
      // Without the file no one takes the directory for abandoned.
    }
    this.clock.after(SAYS_EVERY_MS, () => this.sayAlive(), false);
  }
}

function refusal(path: string, error: unknown): EnvironmentError {
  const why =
    (error as NodeJS.ErrnoException).code === "EEXIST"
      ? `it belongs to ${ownerOf(path)}`
      : describeError(error);
  return new EnvironmentError(
    `state directory ${path} on host ${hostname()} cannot be made: ${why}; give one where this user may write, and that ` +
      "is no other worker's (state.directory)",
    { cause: error },
  );
}

function ownerOf(path: string): string {
  const owner = readOwner(path);
  return owner === undefined
    ? "something else"
    : `the process ${owner.pid} on ${owner.host}, a worker of job "${owner.job}"`;
}

function readOwner(path: string): Owner | undefined {
  try {
    const { job, pid, host } = JSON.parse(readFileSync(join(path, OWNER), "utf8"));
    return typeof job === "string" && typeof pid === "number" && typeof host === "string"
      ? { job, pid, host }
      : undefined;
  } catch {
    return undefined;
  }
}

/** Directories that no worker has made stay. */
async function removeAbandoned(root: string, clock: Clock): Promise<void> {
  for (const { name } of (await readdir(root, { withFileTypes: true })).filter((one) => one.isDirectory())) {
    const path = join(root, name);
    const owner = readOwner(path);
    if (owner === undefined || owner.host !== hostname() || isAlive(owner.pid)) continue;
    const saidMs = statSync(join(path, OWNER), { throwIfNoEntry: false })?.mtimeMs;
    if (saidMs === undefined || clock.nowMs() - saidMs < GONE_AFTER_MS) continue;
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // It may be another user's. It takes room, and does no harm.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
