/**
 * The side of a worker, or of a coordinator that stands by, of the proof that its checkpoint directory is the leader's
 * (P53, P62): leaves a note there, and reads the leader's. Both notes go when the proof is over.
 */
import { hostname } from "node:os";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import type { OfferedDirectory } from "../control/messages.ts";
import { describeError } from "../errors.ts";

export class DirectoryClaim {
  readonly #notes: CheckpointStorage["notes"];
  readonly #note: string;
  /** The text of the note: a process that knows it has read the note. */
  readonly #secret: string;
  #read = "";
  #obstacle: string | null = null;
  #left = false;

  /** @param process its id @param secret random */
  constructor(storage: Pick<CheckpointStorage, "notes">, process: string, secret: string) {
    this.#notes = storage.notes;
    this.#note = `proof-${process}`;
    this.#secret = secret;
  }

  /** The claim for the next request; null: the storage is no directory. */
  get present(): OfferedDirectory | null {
    if (this.#notes === undefined) return null;
    return {
      host: hostname(),
      path: this.#notes.path,
      note: this.#note,
      secret: this.#left ? this.#secret : "",
      read: this.#read,
      obstacle: this.#obstacle,
    };
  }

  /** Proves the claim to a leader that has left this note. Answers whether there is something new to tell it. */
  async prove(note: string): Promise<boolean> {
    const before = this.#read;
    try {
      await this.#notes?.leave(this.#note, this.#secret);
      this.#left = true;
      this.#read = (await this.#notes?.read(note)) ?? "";
      this.#obstacle = null;
    } catch (error) {
      this.#obstacle = describeError(error);
    }
    return this.#read !== before;
  }

  /** Ends the proof: the process was accepted, was refused, or ends. */
  async end(): Promise<void> {
    if (!this.#left) return;
    this.#left = false;
    this.#read = "";
    await this.#notes?.remove(this.#note);
  }
}
