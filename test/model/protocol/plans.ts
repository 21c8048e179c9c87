/**
 * The two plans of a modelled job: the one that it was submitted with, and the one that its user rescales it to (P95).
 *
 * Their subtasks have different names. One of the rescaled plan is the heir of one of the submitted plan: it has its
 * input, its state and its target. One that is heir of none is idle, as a source's subtask without a split is.
 */
import type { GraphPlan } from "../../../machines/protocol.ts";
import { jobRecord } from "../../support/job-record.ts";
import type { Bounds } from "./bounds.ts";
import type { ModelCheckpoint, Snapshot } from "./words.ts";

export type PlanName = "submitted" | "rescaled";

const SUBMITTED = jobRecord().plan;
const RESCALED: GraphPlan = {
  ...SUBMITTED,
  vertices: [
    { id: "rescaled", parallelism: 2, maxParallelism: SUBMITTED.maxParallelism, operators: [] },
  ] as never,
};

export const planNamed = (name: PlanName): GraphPlan => (name === "rescaled" ? RESCALED : SUBMITTED);
export const nameOfPlan = ({ vertices }: GraphPlan): PlanName =>
  vertices.length > 0 ? "rescaled" : "submitted";
export const otherThan = (name: PlanName): PlanName => (name === "rescaled" ? "submitted" : "rescaled");

/** The subtasks of a plan, with the workers that each may be placed on. */
export function subtasksIn({ subtasks, rescaled }: Bounds, plan: PlanName): Bounds["subtasks"] {
  return plan === "submitted" ? subtasks : (rescaled?.subtasks ?? {});
}

export function regionsIn(bounds: Bounds, plan: PlanName): readonly (readonly string[])[] {
  const all = [Object.keys(subtasksIn(bounds, plan))];
  return plan === "submitted" ? (bounds.regions ?? all) : all;
}

export function allSubtasks(bounds: Bounds): string[] {
  return [...Object.keys(bounds.subtasks), ...Object.keys(bounds.rescaled?.subtasks ?? {})];
}

export function workersIn({ subtasks, rescaled }: Bounds): string[] {
  return [...new Set([subtasks, rescaled?.subtasks ?? {}].flatMap((all) => Object.values(all).flat()))];
}

/** The name of what a subtask reads and writes. */
export function placeOf({ rescaled }: Bounds, subtask: string): string {
  return rescaled?.heirs[subtask] ?? subtask;
}

export function placesIn(bounds: Bounds): string[] {
  return [...new Set(allSubtasks(bounds).map((subtask) => placeOf(bounds, subtask)))];
}

/** How many records its input has. */
export function recordsOf(bounds: Bounds, subtask: string): number {
  return placeOf(bounds, subtask) in bounds.subtasks ? bounds.records : 0;
}

/**
 * What a subtask restores of a checkpoint that was taken of this plan: its own state, or that of the one before it. On
 * what that one has stored no snapshot rests, as the key groups are others.
 */
export function restoredOf(
  bounds: Bounds,
  { snapshots }: ModelCheckpoint,
  takenOf: PlanName,
  subtask: string,
): Snapshot | null {
  const place = placeOf(bounds, subtask);
  const before = Object.keys(subtasksIn(bounds, takenOf)).find((one) => placeOf(bounds, one) === place);
  if (before === undefined || snapshots[before] === undefined) return null;
  if (before === subtask) return snapshots[before];
  const { layers: _, ...snapshot } = snapshots[before];
  return snapshot;
}

/** The plan that a record had from each generation on. */
export type PlanHistory = readonly { readonly since: number; readonly plan: PlanName }[];

export function planAt(history: PlanHistory, generation: number): PlanName {
  return history.findLast(({ since }) => since <= generation)?.plan ?? "submitted";
}
