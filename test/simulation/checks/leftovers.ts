/**
 * What must not be left behind: by a job that has ended, in the storage; by processes that have stopped in good order,
 * in themselves.
 */
import type { MemoryBus } from "../../../src/memory/bus.ts";
import type { Scheduler, VirtualProcess } from "../scheduler.ts";
import type { Invariants } from "./invariants.ts";
import type { LivingHosts } from "./living-hosts.ts";
import type { WatchedStorage } from "./watched.ts";

/** A process that lives, and how it ends in good order. */
export interface Stoppable {
  readonly process: VirtualProcess;
  readonly bus: MemoryBus;
  readonly stop: () => Promise<unknown>;
}

/** The virtual time to delete what is no longer needed, and to stop. */
const SETTLE_MS_MAX = 60_000;
const RESTARTS_MS = 4000;
const LOOK_EVERY_MS = 500;
const NAMED_MAX = 3;

export interface LeftoverOptions {
  readonly scheduler: Scheduler;
  /** undefined: the job may be resumed, so it may keep more than it names. */
  readonly storage: WatchedStorage | undefined;
  readonly invariants: Invariants;
  readonly hosts: LivingHosts;
  readonly stoppable: () => readonly Stoppable[];
  /** The user deletes what older generations have left behind (`tidemark gc`). */
  readonly collect: () => void;
}

/** Lets the job's leader clean up, stops every process that lives, and tells what is left of each. */
export async function findLeftovers(options: LeftoverOptions): Promise<string[]> {
  const { scheduler, storage, invariants, hosts } = options;
  const observer = scheduler.process("observer");
  const before = new Set(storage?.names());
  const unreachable = (): string[] => (storage?.names() ?? []).filter((name) => !invariants.isKept(name));
  let isClean = false;
  const look = (): void => {
    isClean = unreachable().length === 0;
    observer.after(LOOK_EVERY_MS, look);
  };
  // By then what has crashed is there again.
  await scheduler.run(() => false, RESTARTS_MS);
  look();
  await scheduler.run(() => isClean, SETTLE_MS_MAX);
  // A process that was paused over the job's end, and leads no more when it wakes up, may write, and deletes nothing
  // (P9). That is left to the user.
  const isLate = (name: string): boolean => !before.has(name) || storage?.cameLate(name) === true;
  if (!isClean && unreachable().every(isLate)) {
    options.collect();
    await scheduler.run(() => isClean, SETTLE_MS_MAX);
  }
  observer.dead = true;
  const findings = unreachable().map((name) => `the object ${name}, which nothing names`);

  const stopping = options.stoppable();
  const running = new Set(stopping.map(({ process }) => process.name));
  for (const { process, stop } of stopping)
    process.acts("stops", () => void stop().then(() => running.delete(process.name)));
  await scheduler.run(() => false, SETTLE_MS_MAX);
  findings.push(...[...running].map((name) => `${name}, which has not stopped`));
  for (const { process, bus } of stopping) {
    const left = [...bus.leftovers(), ...scheduler.waitingIn(process)];
    findings.push(...left.map((what) => `${what} of ${process.name}`));
  }
  findings.push(...hosts.actors().map((actor) => `the actor ${actor}`));
  return findings.slice(0, NAMED_MAX).map((what) => `left behind: ${what}`);
}
