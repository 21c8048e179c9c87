/** What has happened in a run, for readers: every line as it is, or short, where it says only what has changed. */
import type { StoryLine, StoryStep } from "../story.ts";

const LINE_CHARS = 200;

export function fullStory(story: readonly StoryLine[]): string[] {
  return story.map((line) => `${timeOf(line)} ${"text" in line ? line.text : stepInWords(line)}`);
}

function stepInWords({ process, role, id, event, from, to, effects }: StoryStep): string {
  return `${process} ${role} ${id}: ${event}, ${from} -> ${to} [${effects.join(", ")}]`;
}

/**
 * One line for what several machines of a process do alike, one after the other, and for each checkpoint that nothing
 * disturbed, except the last. Faults are marked.
 */
export function shortStory(whole: readonly StoryLine[]): string[] {
  const story = foldCheckpoints(whole);
  const lines: string[] = [];
  for (let at = 0; at < story.length; ) {
    const first = story[at]!;
    if ("text" in first) {
      lines.push(`${timeOf(first)} ${first.text}`);
      at++;
      continue;
    }
    const alike = [first.id];
    for (at++; at < story.length; at++) {
      const next = story[at]!;
      if ("text" in next || doing(next) !== doing(first)) break;
      if (!alike.includes(next.id)) alike.push(next.id);
    }
    lines.push(`${timeOf(first)} ${first.process} ${first.role} ${alike.join(" ")}: ${said(first)}`);
  }
  return lines.map((line) => (line.length > LINE_CHARS ? `${line.slice(0, LINE_CHARS)}…` : line));
}

/** Roles whose steps belong to a checkpoint that is under way, and the events of a subtask that do. */
const OF_CHECKPOINTS = ["checkpoint", "checkpointing", "coordinator", "alignment", "sink-transaction"];
const OF_SUBTASKS = [
  "checkpoint.triggered",
  "barrier.aligned",
  "snapshot.stored",
  "channels.stored",
  "checkpoint.completed",
  "transaction.committed",
];

function foldCheckpoints(story: readonly StoryLine[]): StoryLine[] {
  const folded: StoryLine[] = [];
  const undisturbed = undisturbedCheckpoints(story).slice(0, -1);
  let from = 0;
  for (const { first, last } of undisturbed) {
    if (first < from) continue;
    folded.push(...story.slice(from, first));
    const { atMs, id } = story[last] as StoryStep;
    const rest = story.slice(first, last + 1).filter((line) => !isOfCheckpoint(line as StoryStep));
    folded.push(...rest, { atMs, text: `(${id} is taken and committed)` });
    from = last + 1;
  }
  return [...folded, ...story.slice(from)];
}

const isOfCheckpoint = ({ role, event }: StoryStep): boolean =>
  role === "subtask" ? OF_SUBTASKS.includes(event) : OF_CHECKPOINTS.includes(role);

/** The range from the first step of a checkpoint to its last; no fault comes between. */
function undisturbedCheckpoints(story: readonly StoryLine[]): { first: number; last: number }[] {
  const begun = new Map<string, number>();
  const found: { first: number; last: number }[] = [];
  for (const [at, line] of story.entries()) {
    if ("text" in line) begun.clear();
    else if (line.role !== "checkpoint") continue;
    else if (line.event === "actor.started") begun.set(line.id, at);
    else if (line.to === "completed" && begun.has(line.id))
      found.push({ first: begun.get(line.id)!, last: at });
  }
  return found;
}

const timeOf = ({ atMs }: StoryLine): string => (atMs / 1000).toFixed(3);

const doing = (step: StoryStep): string => `${step.process} ${step.role} ${said(step)}`;

function said({ event, from, to, effects }: StoryStep): string {
  const change = changeOf(from, to);
  return `${event}${change === "" ? "" : `, ${change}`}${effects.length === 0 ? "" : ` [${effects.join(" ")}]`}`;
}

/** The change of state; of several regions, only those that have moved. */
function changeOf(from: string, to: string): string {
  if (from === to) return "";
  const before = from.split("+");
  const after = to.split("+");
  if (before.length !== after.length || before.length === 1) return `-> ${to}`;
  return `-> ${after.filter((region, i) => region !== before[i]).join(" ")}`;
}
