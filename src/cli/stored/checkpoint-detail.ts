/** Checkpoints as people and programs read them: the list of the retained ones, and what one of them holds. */
import type {
  CommittableHandle,
  CompletedCheckpoint,
  GraphPlan,
  JobRecord,
  Manifest,
  ObjectHandle,
  StateHandle,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { objectsOf } from "../../checkpoint/reachability.ts";
import { stateObjects } from "../../checkpoint/storage.ts";
import { encodeValue } from "../../formats/codec.ts";
import { age, count, counted, moment, size, table } from "../output/text.ts";
import { describeShown, type ShownState, shownOf } from "../state/shown.ts";
import type { Retained } from "./retained.ts";
import { describeSplits, type SplitDetail, splitDetailsOf } from "./split-positions.ts";

/** One line of `checkpoints ls`. */
export interface CheckpointSummary {
  readonly checkpointId: number;
  readonly generation: number;
  readonly completedAtMs: number;
  readonly bytes: number;
  readonly fullBytes: number;
  /** null: its manifest cannot be read. */
  readonly objects: number | null;
  readonly allFinished: boolean;
  readonly manifest: string;
  /** Why its manifest cannot be read; null when it can. */
  readonly damage: string | null;
}

export function summaryOf(one: Retained): CheckpointSummary {
  const { checkpointId, generation, completedAtMs, bytes, fullBytes, allFinished, manifest } = one.checkpoint;
  return {
    checkpointId,
    generation,
    completedAtMs,
    bytes,
    fullBytes: fullBytes ?? bytes,
    objects: "manifest" in one ? objectsOf(one.checkpoint, one.manifest).length : null,
    allFinished,
    manifest: manifest.name,
    damage: "manifest" in one ? null : one.damage.message,
  };
}

export function describeSummaries(
  job: string,
  checkpoints: readonly CheckpointSummary[],
  nowMs: number,
): string {
  if (checkpoints.length === 0) return `job ${job} has no retained checkpoint`;
  const rows = checkpoints.map((one) => [
    String(one.checkpointId),
    String(one.generation),
    moment(one.completedAtMs),
    age(one.completedAtMs, nowMs),
    size(one.bytes),
    size(one.fullBytes),
    one.objects === null ? "?" : count(one.objects),
    one.allFinished ? "all" : "no",
  ]);
  const headings = [
    "CHECKPOINT",
    "GENERATION",
    "COMPLETED",
    "AGE",
    "SIZE",
    "FULL SIZE",
    "OBJECTS",
    "FINISHED",
  ];
  const damaged = checkpoints.flatMap(({ checkpointId, damage }) =>
    damage === null ? [] : [`checkpoint ${checkpointId} is damaged: ${damage}`],
  );
  return [table([headings, ...rows]), ...damaged].join("\n");
}

/** What one subtask has handed over for a checkpoint, whether that is complete yet or not. */
export interface SubtaskDetail {
  readonly subtask: string;
  readonly finished: boolean;
  readonly alignmentMs: number;
  readonly syncMs: number;
  readonly asyncMs: number;
  readonly bytes: number;
  readonly states: readonly {
    readonly operator: string;
    readonly state: string;
    readonly kind: StateHandle["kind"];
    /** Travels in the manifest itself. */
    readonly inlineBytes: number;
    readonly objects: readonly ObjectHandle[];
    /** The other subtasks whose copy of broadcast state is the same. */
    readonly equalIn?: readonly number[];
    /** What it holds, where that travels in the manifest: the first few. */
    readonly shown?: ShownState;
  }[];
  /** Prepared with the checkpoint, to be committed once it is complete. */
  readonly transactions: readonly {
    readonly transaction: string;
    readonly writer: number;
    readonly inlineBytes: number;
    readonly staged: readonly ObjectHandle[];
  }[];
}

export interface CheckpointDetail {
  readonly job: string;
  readonly incarnation: string;
  readonly checkpointId: number;
  readonly generation: number;
  readonly completedAtMs: number;
  readonly bytes: number;
  /** With what it has in common with older ones. */
  readonly fullBytes: number;
  readonly allFinished: boolean;
  readonly manifest: ObjectHandle;
  /** How far the input was read. */
  readonly splits: readonly SplitDetail[];
  readonly subtasks: readonly SubtaskDetail[];
}

export async function detailOf(
  { job, plan }: JobRecord,
  checkpoint: CompletedCheckpoint,
  manifest: Manifest,
): Promise<CheckpointDetail> {
  const subtasks: SubtaskDetail[] = [];
  for (const snapshot of manifest.subtasks) subtasks.push(await subtaskDetailOf(snapshot, plan));
  return {
    job,
    incarnation: manifest.incarnation,
    ...checkpoint,
    fullBytes: checkpoint.fullBytes ?? checkpoint.bytes,
    splits: splitDetailsOf(manifest),
    subtasks,
  };
}

async function subtaskDetailOf(snapshot: SubtaskSnapshot, plan: GraphPlan): Promise<SubtaskDetail> {
  const { states, transactions, ...rest } = snapshot;
  const details: SubtaskDetail["states"][number][] = [];
  for (const state of states) {
    const shown = await shownOf(plan, snapshot.subtask, state);
    details.push({ ...stateDetailOf(state), ...(shown && { shown }) });
  }
  return {
    ...rest,
    states: details,
    transactions: transactions.map(transactionDetailOf),
  };
}

function stateDetailOf(state: StateHandle): SubtaskDetail["states"][number] {
  const { operator, kind } = state;
  const inline =
    kind === "operator"
      ? state.entries
      : state.pieces.flatMap(({ content }) => (content instanceof Uint8Array ? [content] : []));
  return {
    operator,
    state: state.state,
    kind,
    inlineBytes: inline.reduce((sum, { byteLength }) => sum + byteLength, 0),
    objects: stateObjects(state),
    ...(kind === "operator" && state.equalIn !== undefined && { equalIn: state.equalIn }),
  };
}

function transactionDetailOf({ sink, checkpointId, writer, staged, detail }: CommittableHandle) {
  return { transaction: `${sink}@${checkpointId}`, writer, inlineBytes: inlineBytes(detail), staged };
}

function inlineBytes(value: unknown): number {
  return value === null || value === undefined ? 0 : encodeValue(value).length;
}

export function describeCheckpoint(checkpoint: CheckpointDetail, nowMs: number): string {
  const { checkpointId, job, generation, incarnation, completedAtMs, manifest, subtasks } = checkpoint;
  return [
    table([
      ["checkpoint", `${checkpointId} of job ${job}`],
      ["taken by", `generation ${generation}, incarnation ${incarnation}`],
      ["completed", `${moment(completedAtMs)}, ${age(completedAtMs, nowMs)} ago`],
      ["size", sizeInWords(checkpoint)],
      ["manifest", `${manifest.name}  ${size(manifest.bytes)}`],
      ["finished", checkpoint.allFinished ? "every subtask: all input is processed" : "no"],
    ]),
    describeSplits(checkpoint.splits),
    describeSubtasks(subtasks),
    ...subtasks.map(describeHandles),
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

function sizeInWords({ bytes, fullBytes }: CheckpointDetail): string {
  if (fullBytes === bytes) return `${size(bytes)} in all`;
  return `${size(bytes)} stored for it, ${size(fullBytes)} with what it has in common with older ones`;
}

/** The times that each subtask took, one line each. */
function describeSubtasks(subtasks: readonly SubtaskDetail[]): string {
  const rows = subtasks.map((one) => [
    one.subtask,
    size(one.bytes),
    ...[one.alignmentMs, one.syncMs, one.asyncMs].map((ms) => `${ms.toFixed(1)} ms`),
    one.finished ? "yes" : "no",
  ]);
  return table([["SUBTASK", "SIZE", "ALIGNMENT", "SYNC", "ASYNC", "FINISHED"], ...rows]);
}

/** What it holds and where that lies; empty when it holds nothing. */
function describeHandles({ subtask, states, transactions }: SubtaskDetail): string {
  const lines = [
    ...states.flatMap(({ operator, state, inlineBytes: inline, objects, equalIn = [], shown }) => {
      const others = equalIn.length === 0 ? "" : `, the same in ${counted(equalIn.length, "other subtask")}`;
      return [
        ...describeParts(`state of ${operator} (${state}${others})`, inline, objects),
        ...(shown === undefined ? [] : describeShown(shown).map((line) => `    ${line}`)),
      ];
    }),
    ...transactions.flatMap(({ transaction, writer, inlineBytes: inline, staged }) =>
      describeParts(`transaction ${transaction} of writer ${writer}`, inline, staged),
    ),
  ];
  return lines.length === 0 ? "" : [subtask, ...lines].join("\n");
}

function describeParts(what: string, inline: number, objects: readonly ObjectHandle[]): string[] {
  const sum = objects.reduce((total, { bytes }) => total + bytes, 0);
  const parts = [
    ...(inline === 0 ? [] : [`${size(inline)} in the manifest`]),
    ...(objects.length === 0 ? [] : [`${size(sum)} in ${counted(objects.length, "object")}`]),
  ];
  return [
    `  ${what}: ${parts.length === 0 ? "empty" : parts.join(", ")}`,
    ...objects.map(({ name, bytes }) => `    ${name}  ${size(bytes)}`),
  ];
}
