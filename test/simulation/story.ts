/** What has happened in a run, in order. */

/** A step of a machine. */
export interface StoryStep {
  readonly atMs: number;
  readonly process: string;
  readonly role: string;
  readonly id: string;
  readonly event: string;
  readonly from: string;
  readonly to: string;
  readonly effects: readonly string[];
}

/** A fault, what the user does, or what went wrong. */
export interface StoryText {
  readonly atMs: number;
  readonly text: string;
}

export type StoryLine = StoryStep | StoryText;
