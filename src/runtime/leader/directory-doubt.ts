/**
 * Whether the checkpoint directory of this coordinator may be another one than that of the jobs (P62).
 *
 * Owns: what was found missing there while nothing proves it to be the right one. Does not own: the proofs (standby.ts,
 * directory-proofs.ts), and who leads instead.
 */
export class DirectoryDoubt {
  readonly #isUnproven: () => boolean;
  #lacking: string | undefined;

  /** @param isUnproven no leader has said that it is the same */
  constructor(isUnproven: () => boolean) {
    this.#isUnproven = isUnproven;
  }

  get isUnproven(): boolean {
    return this.#isUnproven();
  }

  /** What the directory lacks, in words; undefined: nothing, as far as is known, or it is proven. */
  get lacking(): string | undefined {
    return this.isUnproven ? this.#lacking : undefined;
  }

  lacks(what: string): void {
    this.#lacking = what;
  }

  /** A checkpoint of a job lies there. */
  found(): void {
    this.#lacking = undefined;
  }
}
