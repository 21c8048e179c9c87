/**
 * The disks of the machines that workers run on: each outlives its worker, with the copies that are left there (P102).
 *
 * The next worker of the job takes one whose worker is gone, as on a machine, or has one that is new to it. What lies
 * there may be damaged by then, of an older generation or of a former life of the job.
 */
import type { CopyFiles } from "../../src/checkpoint/local-copies.ts";
import type { ObjectHandle } from "../../src/checkpoint/storage.ts";
import { ObjectCorruptError } from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import type { Random } from "../chaos/random.ts";
import type { VirtualProcess } from "./scheduler.ts";

const OTHER_MACHINE_SHARE = 0.15;
const DAMAGED_DISK_SHARE = 0.3;
const DAMAGED_SHARE = 0.3;

export class Disk implements CopyFiles {
  readonly #objects = new MemoryStorage({ description: "a worker's disk" });
  readonly #names = new Set<string>();
  readonly #damaged = new Set<string>();
  #owner: VirtualProcess;

  constructor(owner: VirtualProcess) {
    this.#owner = owner;
  }

  get names(): readonly string[] {
    return [...this.#names];
  }

  get isFree(): boolean {
    return this.#owner.dead;
  }

  take(owner: VirtualProcess, random: Random): void {
    this.#owner = owner;
    if (random.next() >= DAMAGED_DISK_SHARE) return;
    for (const name of this.#names) if (random.next() < DAMAGED_SHARE) this.#damaged.add(name);
  }

  async put(...[name, content, signal]: Parameters<CopyFiles["put"]>): Promise<ObjectHandle> {
    const handle = await this.#objects.put(name, content, signal);
    this.#names.add(name);
    return handle;
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const { name } = handle;
    if (this.#damaged.has(name)) throw new ObjectCorruptError(name, `object "${name}" on disk is damaged`);
    return await this.#objects.get(handle);
  }

  async delete(name: string): Promise<void> {
    this.#names.delete(name);
    this.#damaged.delete(name);
    await this.#objects.delete(name);
  }
}

export class Disks {
  readonly #byJob = new Map<string, Disk[]>();

  /** The disk of a worker that starts. */
  takeFor(job: string, owner: VirtualProcess, random: Random): Disk {
    const known = this.#byJob.get(job) ?? [];
    const free = known.find(({ isFree }) => isFree);
    if (free !== undefined && random.next() >= OTHER_MACHINE_SHARE) {
      free.take(owner, random);
      return free;
    }
    const disk = new Disk(owner);
    this.#byJob.set(job, [...known, disk]);
    return disk;
  }
}
