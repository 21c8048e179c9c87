/**
 * What a process has tried again and again without success, and how it is told of.
 *
 * Code that repeats an act watches it: `const watch = troubles.watch("publishing to stream COUNTS")`. It calls `failed`
 * after each try that did not work and `passed` after one that did. An act that goes on failing for a few seconds
 * becomes a trouble, which the user sees with its reason until it passes (src/observe/troubles.ts).
 */

/** An act that does not work at present, as the user sees it. */
export interface Trouble {
  /** The act, as a noun: "publishing to stream COUNTS". */
  readonly what: string;
  /** One line: why the latest try failed. */
  readonly reason: string;
  /** Wall clock in ms: when it began to fail. */
  readonly sinceMs: number;
}

export interface TroubleWatch {
  /** The try failed, and there will be another one. `error` must hold no content of a record. */
  failed(error: unknown): void;
  /** The act works. The call costs nothing when it worked before. */
  passed(): void;
  /** The act is given up, or not needed any more: nothing is said about it from here on. */
  forget(): void;
}

export interface TroubleWatcher {
  /**
   * @param what the act in the user's words, without content of records and without numbers that change with each try
   */
  watch(what: string): TroubleWatch;
}
