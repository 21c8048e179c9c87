/**
 * Whether the state of one job graph fits another, operator by operator: a pure function.
 *
 * State belongs to operators and finds its way by their ids, whatever they are chained to. What has no operator any
 * more is dropped only when its operator was named: never by a flag for all.
 */

import { receiversOf } from "../../../machines/graph/topology.ts";
import type {
  ChannelStateHandle,
  GraphPlan,
  Manifest,
  OperatorPlan,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { stateObjects } from "../../checkpoint/storage.ts";
import { isStateOfKeys } from "../../dataflow/operators/windows/triggered/triggered-window.ts";
import { isEventTime } from "../../formats/positions/event-time.ts";
import { FORMER_WINDOWS } from "../../formats/positions/former-windows.ts";
import { stateOfTimes } from "../../state/ttl/time-to-live.ts";
import { actorProblems } from "../machines/shape.ts";
import { deal } from "./assignment.ts";
import { withEqualCopiesOnce } from "./broadcast-copies.ts";
import { changedTtls } from "./changed-ttls.ts";
import { finishedIn, finishedOperators, finishedProblems } from "./finished-operators.ts";
import { unevenBroadcasts } from "./overtaken-broadcasts.ts";
import { endsOf, hasSameEnds, unevenTimes } from "./rescaled-times.ts";
import { exchangedInputs, type Splits, unreadSplits } from "./restored-splits.ts";
import { formProblems, newForms, type StoredForms, withForm } from "./state-versions.ts";
import {
  canMigrate,
  combinedRecords,
  isDroppedWindow,
  isFormerState,
  migratedStates,
  unfinishedWindows,
  unknownWindows,
  type WindowMigration,
  windowMigrations,
} from "./window-migrations.ts";

export interface RestoredOperator {
  readonly operator: string;
  /** `new`: it begins without state. `stateless`: in both, there is nothing to restore. */
  readonly fate: "matched" | "new" | "stateless" | "orphaned" | "dropped";
  /** Subtasks that have processed all of their input: they run nothing any more. */
  readonly finished: number;
  readonly states: readonly string[];
  readonly bytes: number;
}

export interface RestorePlan {
  readonly operators: readonly RestoredOperator[];
  /** Why it cannot be restored, each with what helps. Empty: it can. */
  readonly problems: readonly string[];
  /** What is restored and means something else than before. */
  readonly notes: readonly string[];
}

interface Stored {
  readonly states: string[];
  /** The states of keys that hold something. */
  readonly filled: Set<string>;
  /** In what forms values lie there, by state. */
  readonly forms: Map<string, StoredForms>;
  bytes: number;
}

/** What is restored: the state, and the graph that it was taken of. */
export interface RestoredFrom {
  readonly plan: GraphPlan;
  readonly splits: Splits;
  readonly manifest: Manifest;
}

/** @param splits of the job's sources, where they are known */
export function planRestore(
  from: RestoredFrom,
  to: GraphPlan,
  dropped: readonly string[],
  splits: Splits = {},
): RestorePlan {
  const problems: string[] = [];
  const notes: string[] = [];
  const before = operatorsOf(from.plan);
  const after = operatorsOf(to);
  const migrations = windowMigrations(from.plan, to, dropped);
  const stored = storedIn(from.manifest.subtasks, before);
  const endedBefore = finishedOperators(from.plan, from.manifest.subtasks);
  const ended = finishedIn(to, endedBefore, dropped);
  problems.push(...keyGroupProblems(from.plan, to));
  const operators: RestoredOperator[] = [];
  for (const [id, { operator, parallelism }] of after) {
    const old = before.get(id);
    const found = stored.get(id);
    const states = found?.states ?? [];
    const bytes = found?.bytes ?? 0;
    const finished = (ended.get(id) ?? []).filter(Boolean).length;
    const tell = (fate: RestoredOperator["fate"]) =>
      operators.push({ operator: id, fate, finished, states, bytes });
    if (dropped.includes(id) && old !== undefined) {
      tell("dropped");
      continue;
    }
    if (old !== undefined && old.parallelism !== parallelism) problems.push(...unevenTimes(from, id));
    if (old === undefined || found === undefined) {
      tell(old === undefined && isStateful(operator) ? "new" : "stateless");
      continue;
    }
    const migration = migrations.get(id);
    tell(migration?.mode === "drop-old" && !states.some(isStateOfKeys) ? "dropped" : "matched");
    if (migration !== undefined) {
      problems.push(...migration.problems);
      notes.push(migration.note);
    }
    const left = found.states.filter(
      (state) => !isDroppedWindow({ kind: "keyed", operator: id, state }, migrations),
    );
    problems.push(...differences(id, old, { operator, parallelism }, { ...found, states: left }, migration));
    notes.push(...changedTtls(id, old.operator, operator, states));
  }
  for (const [id, { states, bytes }] of stored) {
    if (after.has(id)) continue;
    const fate = dropped.includes(id) ? "dropped" : "orphaned";
    operators.push({ operator: id, fate, finished: 0, states, bytes });
    if (fate === "orphaned")
      problems.push(
        `operator ${id} has state${states.length === 0 ? "" : ` (${states.join(", ")})`} and is not in the job: give it back its id, or drop its state with --drop ${id}`,
      );
  }
  const edges = new Set(to.edges.map(({ id }) => id));
  for (const channel of from.manifest.subtasks.flatMap((subtask) => subtask.channels))
    if (!edges.has(channel.edge))
      problems.push(
        `${channel.records} records lay on edge ${channel.edge}, which the job does not have: the checkpoint was unaligned or the edge leads back into a loop, so restore the former graph from it, and take a savepoint when nothing is on that edge, before you change the graph`,
      );
    else problems.push(...movedEnds(channel, from.plan, to));
  problems.push(...unevenBroadcasts(from, to));
  problems.push(...combinedRecords(from, migrations));
  problems.push(...unknownWindows(from.manifest.subtasks, to, migrations, dropped));
  // A subtask in at-least-once mode may have finished in front of a barrier that its predecessor finished behind.
  const tolerated = new Set(finishedProblems(from.plan, endedBefore, []));
  problems.push(...finishedProblems(to, endedBefore, dropped).filter((problem) => !tolerated.has(problem)));
  for (const { source, problem } of exchangedInputs(from.splits, splits))
    if (!dropped.includes(source))
      problems.push(`${problem}: give the source another id, or begin anew with --drop ${source}`);
  problems.push(...unreadSplits(from.splits, splits, to, ended));
  for (const id of dropped)
    if (!stored.has(id) && !endedBefore.get(id)?.includes(true))
      problems.push(
        `--drop ${id}: there is no state of an operator ${id}; it has ${[...stored.keys()].join(", ") || "none"}`,
      );
  return { operators, problems, notes };
}

/** The number of key groups is that of the state, and each subtask has one. */
function keyGroupProblems({ maxParallelism: stored }: GraphPlan, to: GraphPlan): string[] {
  if (stored !== to.maxParallelism)
    return [
      `maxParallelism is ${to.maxParallelism}, the state has ${stored} key groups: leave it out, or set it to ${stored}`,
    ];
  const wide = [...operatorsOf(to)].filter(([, { parallelism }]) => parallelism > stored);
  return wide.map(
    ([id, { parallelism }]) =>
      `operator ${id} has parallelism ${parallelism}, and the state only ${stored} key groups, one for each subtask: give it at most ${stored}`,
  );
}

/**
 * The snapshots of `to`'s subtasks, of a plan without problems. A fork writes under a name of its own: what a sink
 * remembers of its target is another's.
 */
export function snapshotsFor(
  { plan, manifest }: Pick<RestoredFrom, "plan" | "manifest">,
  to: GraphPlan,
  dropped: readonly string[],
): SubtaskSnapshot[] {
  const migrations = windowMigrations(plan, to, dropped);
  const operatorsAt = new Map<string, readonly OperatorPlan[]>(
    to.vertices.flatMap(({ id, parallelism, operators }) =>
      Array.from({ length: parallelism }, (_, index) => [`${id}/${index}`, operators] as const),
    ),
  );
  const snapshots = [...deal(manifest, plan, to, dropped)].map(([subtask, { knownSplits, ...restore }]) => ({
    subtask,
    ...restore,
    states: migratedStates(
      restore.states.filter((state) => state.kind === "keyed" || state.distribution !== "own"),
      subtask,
      operatorsAt.get(subtask)!,
      migrations,
    ),
    alignmentMs: 0,
    syncMs: 0,
    asyncMs: 0,
    bytes: 0,
    persistedInFlightBytes: 0,
  }));
  return withEqualCopiesOnce(snapshots);
}

/** Why the records of a channel cannot be restored: nothing joins its two subtasks now, or takes such records. */
function movedEnds(channel: ChannelStateHandle, from: GraphPlan, to: GraphPlan): string[] {
  const { edge } = channel;
  const [before, now] = [from, to].map((plan) => plan.edges.find(({ id }) => id === edge)!);
  if (before!.accumulators !== now!.accumulators)
    return [
      `${channel.records} ${before!.accumulators ? "accumulators" : "records"} lay on edge ${edge}, and ${now!.accumulators ? "accumulators" : "records"} travel there now: restore the graph with combine as it was from it, and take a savepoint that is not unaligned, before you change it`,
    ];
  const [was, is] = [endsOf(from, edge)!, endsOf(to, edge)!];
  // Records are dealt out anew to the subtasks that the edge has now.
  if (!hasSameEnds(was, is) && was.partitioner === is.partitioner) return [];
  if (receiversOf(is, channel.from).includes(channel.to)) return [];
  return [
    `${channel.records} records lay on edge ${edge} from subtask ${channel.from} to ${channel.to}, which ${is.partitioner} does not connect: restore the graph with ${was.partitioner} there from it, and take a savepoint that is not unaligned, before you change it`,
  ];
}

/** An operator of a graph. */
export interface Placed {
  readonly operator: OperatorPlan;
  readonly parallelism: number;
}

/**
 * Why the state of an operator does not fit what it is now, each with what helps.
 *
 * @param stored `states`: those that hold something or were declared; `filled`: those with a value
 */
export function differences(
  id: string,
  old: Placed,
  now: Placed,
  { states: stored, filled, forms }: Pick<Stored, "states" | "filled" | "forms">,
  migration: WindowMigration | undefined,
): string[] {
  const found: string[] = [];
  const hasOtherKind = old.operator.kind !== now.operator.kind && migration === undefined;
  if (hasOtherKind || old.operator.connector !== now.operator.connector)
    found.push(
      `operator ${id} is a ${now.operator.connector ?? now.operator.kind} now and was a ${old.operator.connector ?? old.operator.kind}: give it another id, and drop the state of the old one with --drop ${id}`,
    );
  if (old.operator.bounded !== now.operator.bounded)
    found.push(
      `source ${id} is ${boundedness(now.operator)} now and was ${boundedness(old.operator)}, and its state says where its input ends: leave it as it was, or read all of it again with --drop ${id}`,
    );
  if (old.operator.windows !== now.operator.windows && migration === undefined)
    found.push(
      `operator ${id} has windows (${now.operator.windows ?? "none"}) now and had others (${old.operator.windows ?? "none"}), what these hold would come to results in parts: leave them as they were, ${canMigrate(now.operator) ? "say by migrateWindows what becomes of the old ones, or begin without any state of the operator" : "or begin without its state"} with --drop ${id}`,
    );
  const { actors } = old.operator;
  found.push(...actorProblems(actors, now.operator.actors).map((problem) => `operator ${id} ${problem}`));
  found.push(...stateDifferences(id, old, now, { states: stored, filled, forms }));
  return found;
}

function stateDifferences(
  id: string,
  old: Placed,
  now: Placed,
  { states: stored, filled, forms }: Pick<Stored, "states" | "filled" | "forms">,
): string[] {
  const found: string[] = [];
  const unkeyed = now.operator.operatorStates ?? {};
  const unkeyedBefore = old.operator.operatorStates ?? {};
  for (const [state, was] of Object.entries(unkeyedBefore)) {
    const is = unkeyed[state];
    if (is !== undefined && is !== was)
      found.push(
        `operator ${id} has "${state}" as a ${is} state now and had it as a ${was} state: give the state another name, or drop all its state with --drop ${id}`,
      );
  }
  const ofKeys = now.operator.states ?? stored.filter((state) => unkeyedBefore[state] === undefined);
  const declared = [...ofKeys, ...Object.keys(unkeyed)];
  for (const state of stored) {
    const [was, is] = [kindOf(old.operator, state), kindOf(now.operator, state)];
    if (!declared.includes(state)) {
      const isEmptyTable = old.operator.ownStates === true && !filled.has(state);
      if (!isEmptyTable)
        found.push(
          isFormerState(state)
            ? unfinishedWindows(id)
            : `operator ${id} has no state "${state}" any more: declare it, or drop all its state with --drop ${id}`,
        );
    } else if (
      was === "list" &&
      is === "list" &&
      expires(old.operator, state) !== expires(now.operator, state)
    )
      found.push(
        `list state "${state}" of operator ${id} ${expires(now.operator, state) ? "has a time to live now and had none" : "has no time to live now and had one"}, and such lists are stored in another way: leave it as it was, or give it another name and drop all state of the operator with --drop ${id}`,
      );
    else if (was !== is)
      found.push(
        `state "${state}" of operator ${id} is of kind ${is} now and was of kind ${was}: give it another name, and drop all state of the operator with --drop ${id}`,
      );
    else found.push(...formProblems(state, forms.get(state) ?? newForms(), now.operator));
  }
  return found;
}

const kindOf = ({ stateKinds }: OperatorPlan, state: string): string => stateKinds?.[state] ?? "value";

const expires = ({ stateTtls }: OperatorPlan, state: string): boolean => stateTtls?.[state] !== undefined;

const boundedness = ({ bounded }: OperatorPlan): string => (bounded === true ? "bounded" : "unbounded");

/** Sources and sinks have a connector. */
function isStateful({ connector, states = [], operatorStates = {} }: OperatorPlan): boolean {
  return connector !== undefined || states.length > 0 || Object.keys(operatorStates).length > 0;
}

function operatorsOf(plan: GraphPlan): Map<string, Placed> {
  return new Map(
    plan.vertices.flatMap(({ operators, parallelism }) =>
      operators.map((operator) => [operator.id, { operator, parallelism }] as const),
    ),
  );
}

/** A table of keys that is declared, or follows from what is: the rest goes along with it. */
export const isOfUsers = (state: string): boolean =>
  stateOfTimes(state) === undefined && state !== FORMER_WINDOWS;

/** The states that users have named, and the bytes of all. */
function storedIn(
  snapshots: readonly SubtaskSnapshot[],
  plan: ReadonlyMap<string, Placed>,
): Map<string, Stored> {
  const all = new Map<string, Stored>();
  const of = (operator: string): Stored => {
    const known = all.get(operator) ?? { states: [], filled: new Set(), forms: new Map(), bytes: 0 };
    all.set(operator, known);
    return known;
  };
  for (const { states, transactions } of snapshots) {
    for (const state of states) {
      if (isEventTime(state) || state.state === FORMER_WINDOWS) continue;
      const stored = of(state.operator);
      const isUsers =
        (state.kind === "keyed" && isOfUsers(state.state)) ||
        plan.get(state.operator)?.operator.operatorStates?.[state.state] !== undefined;
      if (isUsers && !stored.states.includes(state.state)) stored.states.push(state.state);
      const isKeyed = state.kind === "keyed";
      if (isKeyed && state.pieces.length > 0) stored.filled.add(state.state);
      if (isKeyed ? state.pieces.length > 0 : isUsers && state.entries.length > 0)
        stored.forms.set(state.state, withForm(stored.forms.get(state.state) ?? newForms(), state));
      stored.bytes += stateObjects(state).reduce((sum, object) => sum + object.bytes, 0);
    }
    for (const { sink, staged } of transactions)
      of(sink).bytes += staged.reduce((sum, object) => sum + object.bytes, 0);
  }
  return all;
}
