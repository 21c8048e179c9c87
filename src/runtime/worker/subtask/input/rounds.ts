/**
 * The rounds of a loop at one of its subtasks: hosts the machine that decides about them.
 *
 * Owns: what the machine hears of the channels, where rounds are sent. Does not own: the decisions
 * (machines/worker/loop.ts).
 */
import { eventOf } from "../../../../../machines/wiring.ts";
import { type LoopEvent, loopMachine } from "../../../../../machines/worker/loop.ts";
import type { RoundFrame } from "../../../../dataflow/channel/frame.ts";
import type { EdgeOutput } from "../../../../dataflow/output.ts";
import type { Host } from "../../../actor.ts";

/** The place of a subtask in a loop. */
export interface LoopPlace {
  /** true: the loop begins with this subtask. */
  readonly head: boolean;
  /** The channels inside the loop; for a head, those that lead back to it. */
  readonly inside: readonly number[];
  /** All other channels. */
  readonly outside: readonly number[];
  /** The edges inside the loop. */
  readonly outputs: readonly EdgeOutput[];
}

export class LoopRounds {
  readonly #host: Host;
  readonly #place: LoopPlace;
  readonly #openOutside: Set<number>;
  /** Whether a record was taken from a channel that leads back, since the last round. */
  #taken = false;

  /** @param ended the subtask was restored as finished: its loop has no rounds any more */
  constructor(host: Host, place: LoopPlace, ended: boolean) {
    this.#host = host;
    this.#place = place;
    this.#openOutside = new Set(place.outside);
    if (!ended) this.#start();
  }

  get decideTheEnd(): boolean {
    return this.#place.head;
  }

  took(channel: number): void {
    if (!this.#taken) this.#taken = this.#place.inside.includes(channel);
  }

  ended(channel: number): void {
    if (this.#place.inside.includes(channel)) this.#tell({ type: "channel.ended", channel });
    else if (this.#openOutside.delete(channel) && this.#openOutside.size === 0)
      this.#tell({ type: "inputs.ended" });
  }

  received(channel: number, frame: RoundFrame): void {
    this.#tell(eventOf("round.received", frame, { channel, taken: this.#taken }));
  }

  #start(): void {
    const { head, inside, outputs } = this.#place;
    this.#host.start({
      id: "loop",
      machine: loopMachine,
      input: { head, channels: inside.length },
      handlers: {
        "send.round": ({ round, dirty }) => {
          this.#taken = false;
          for (const output of outputs) output.broadcast({ kind: "round", round, dirty });
        },
      },
    });
    if (this.#openOutside.size === 0) this.#tell({ type: "inputs.ended" });
  }

  #tell(event: LoopEvent): void {
    this.#host.send("loop", event);
  }
}
