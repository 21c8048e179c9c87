/** Which hosts of machines still have actors. */
import { Host } from "../../../src/runtime/actor.ts";
import type { VirtualProcess } from "../scheduler.ts";

interface Watched {
  readonly owner: VirtualProcess;
  /** Every actor that it has ever started. */
  readonly actors: Set<string>;
}

let present: LivingHosts | undefined;

const start = Host.prototype.start;
Host.prototype.start = function (this: Host, definition) {
  present?.started(this, definition.id);
  start.call(this, definition);
};

export class LivingHosts {
  readonly #hosts = new Map<Host, Watched>();
  readonly #current: () => VirtualProcess | undefined;

  /** From now on, until the next one. One simulation runs at a time. */
  constructor(current: () => VirtualProcess | undefined) {
    this.#current = current;
    present = this;
  }

  /** An actor is started, in the step of a process. */
  started(host: Host, actor: string): void {
    const owner = this.#current();
    const watched = this.#hosts.get(host) ?? (owner && { owner, actors: new Set() });
    if (watched === undefined) return;
    this.#hosts.set(host, watched);
    watched.actors.add(actor);
  }

  /** "worker1: subtask count/0". */
  actors(): string[] {
    return [...this.#hosts]
      .filter(([, { owner }]) => !owner.dead)
      .flatMap(([host, { owner, actors }]) =>
        [...actors].filter((actor) => host.has(actor as never)).map((actor) => `${owner.name}: ${actor}`),
      );
  }
}
