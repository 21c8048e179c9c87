/** `tidemark state --live`: what a running job holds now, told by its workers through its leader. */
import type { GraphPlan, OperatorPlan } from "../../../machines/protocol.ts";
import type { LiveSubtask, StateLook } from "../../control/requests/live-state.ts";
import { EnvironmentError, MessageTooLargeError, RequestRefusedError } from "../../errors.ts";
import type { Key } from "../../state/descriptor.ts";
import { keyGroupOf, ownerOf } from "../../state/key-groups.ts";
import { decodeEntry } from "../../state/snapshot/codec.ts";
import type { ClusterView } from "../assembly.ts";
import { type ClientFlags, clientOf, ofLeader } from "../commands/client.ts";
import { readJob, recordsOf, unknownJob } from "../stored/retained.ts";
import { type CatalogEntry, catalogOf, chosen, isKeyed, kindOf } from "./catalog.ts";
import { type DumpHeader, liveHeader } from "./header.ts";
import { neededKey, refuseKey } from "./key-argument.ts";
import type { StateLine } from "./lines.ts";
import type { ReadFrom } from "./state-source.ts";
import { toJson } from "./value-json.ts";

/** A state as all subtasks together have it. */
export interface LiveSummary {
  readonly operator: string;
  readonly state: string;
  readonly kind: CatalogEntry["kind"];
  /** Left out: its rows are pieces of lists. */
  readonly rows?: number;
  /** The subtasks that have told. */
  readonly subtasks: number;
}

/** The states that users have named. @throws RequestRefusedError when the job does not run */
export async function listLive(
  view: ClusterView,
  flags: ClientFlags,
  job: string,
): Promise<{ readonly from: ReadFrom; readonly states: readonly LiveSummary[] }> {
  const { plan } = await readJob(await recordsOf(view, job), job);
  const told = await ask(view, flags, job, { kind: "list" });
  const operators = new Map<string, OperatorPlan>(
    plan.vertices.flatMap(({ operators }) => operators.map((operator) => [operator.id, operator] as const)),
  );
  const states = new Map<string, LiveSummary>();
  for (const { operator, state, rows } of told.flatMap(({ states = [] }) => states)) {
    const kind = namedKindOf(operators.get(operator), state);
    if (kind === undefined) continue;
    const name = `${operator} ${state}`;
    const known = states.get(name) ?? { operator, state, kind, subtasks: 0 };
    const sum = rows === undefined ? {} : { rows: (known.rows ?? 0) + rows };
    states.set(name, { ...known, ...sum, subtasks: known.subtasks + 1 });
  }
  return { from: fromOf(told), states: [...states.values()] };
}

/** undefined: it is the engine's own. */
function namedKindOf(operator: OperatorPlan | undefined, state: string): CatalogEntry["kind"] | undefined {
  const kind = operator?.operatorStates?.[state];
  if (kind !== undefined || operator?.states?.includes(state) !== true) return kind;
  return kindOf(operator, state);
}

interface Live {
  readonly from: ReadFrom;
  readonly lines: readonly StateLine[];
}

/**
 * What one key has now, all of it at one moment: its subtask reads it between two records. Of state that belongs to no
 * key what each subtask has.
 *
 * @throws RequestRefusedError when the job does not run, or has no such state; EnvironmentError when the worker of the
 *   key does not answer
 */
export async function getLive(
  view: ClusterView,
  flags: ClientFlags,
  job: string,
  operator: string,
  state: string,
  key: Key | undefined,
): Promise<Live> {
  const { plan } = await readJob(await recordsOf(view, job), job);
  const entry = chosen(catalogOf(plan, { subtasks: [] }), job, operator, state)[0]!;
  if (entry.kind === "table" || entry.kind === "timers")
    throw new RequestRefusedError(
      `state "${state}" of operator ${operator} has no name of yours, and only such are read live: leave out --live, which reads the latest checkpoint`,
    );
  if (!isKeyed(entry)) {
    refuseKey(entry, key);
    const told = await ask(view, flags, job, { kind: "entries", operator, state });
    return { from: fromOf(told), lines: told.flatMap((one) => entryLines(entry, one)) };
  }
  const wanted = neededKey(entry, key);
  const told = await ask(view, flags, job, { kind: "key", operator, state, key: wanted });
  const found = told.find(({ rows }) => rows !== undefined);
  if (found?.rows === undefined)
    throw unanswered(job, plan, operator, keyGroupOf(wanted, plan.maxParallelism), "key");
  const line = { operator, state, subtask: found.subtask, key: toJson(wanted) };
  const lines = found.rows.map(({ entry: name, value }) => ({
    ...line,
    ...(name !== undefined && { entry: toJson(decodeEntry(name)) }),
    value: toJson(decodeEntry(value)),
  }));
  return { from: fromOf([found]), lines };
}

/** The states that were asked for, of those that users have named. */
export async function* dumpLive(
  view: ClusterView,
  flags: ClientFlags,
  job: string,
  operator: string | undefined,
  state: string | undefined,
): AsyncGenerator<DumpHeader | StateLine, void, undefined> {
  const record = await readJob(await recordsOf(view, job), job);
  const { plan } = record;
  const entries = chosen(catalogOf(plan, { subtasks: [] }), job, operator, state).filter(isUsers);
  const first = await ask(view, flags, job, { kind: "list" });
  const generations = new Map(first.map(({ subtask, generation }) => [subtask, generation]));
  /** What is told by another generation may be older than what was told before it. */
  const asked = async (look: StateLook) => {
    const told = await ask(view, flags, job, look);
    for (const { subtask, generation } of told)
      if (generations.get(subtask) !== generation)
        throw new EnvironmentError(
          `job ${job} has begun a new generation while its state was read: what was written before is not of the same run; run the command again`,
        );
    return told;
  };
  yield liveHeader(job, fromOf(first), record);
  for (const entry of entries)
    if (!isKeyed(entry)) {
      const { operator, state } = entry;
      for (const one of await asked({ kind: "entries", operator, state })) yield* entryLines(entry, one);
    } else
      for (let keyGroup = 0; keyGroup < plan.maxParallelism; keyGroup++)
        yield* await groupLines(asked, job, plan, entry, keyGroup);
}

const isUsers = ({ kind }: CatalogEntry): boolean =>
  !["table", "timers", "positions", "event time", "own"].includes(kind);

async function groupLines(
  asked: (look: StateLook) => Promise<readonly LiveSubtask[]>,
  job: string,
  plan: GraphPlan,
  { operator, state }: CatalogEntry,
  keyGroup: number,
): Promise<StateLine[]> {
  const told = await asked({ kind: "group", operator, state, keyGroup });
  if (told.some(({ more }) => more))
    throw new RequestRefusedError(
      `state "${state}" of operator ${operator} has more in key group ${keyGroup} than an answer holds: leave out --live, which reads the latest checkpoint, or take a savepoint and read that`,
    );
  const found = told.find(({ rows }) => rows !== undefined);
  if (found?.rows === undefined) throw unanswered(job, plan, operator, keyGroup, `key group ${keyGroup}`);
  return found.rows.map(({ key, entry, value }) => ({
    ...{ operator, state, key: toJson(decodeEntry(key!)) },
    ...(entry !== undefined && { entry: toJson(decodeEntry(entry)) }),
    value: toJson(decodeEntry(value)),
  }));
}

function entryLines(
  { operator, state, kind }: CatalogEntry,
  { subtask, rows = [] }: LiveSubtask,
): StateLine[] {
  return rows.map(({ value }) => {
    const held = decodeEntry(value);
    const line = { operator, state, subtask };
    if (kind !== "broadcast") return { ...line, value: toJson(held) };
    const [entry, one] = held as readonly [unknown, unknown];
    return { ...line, entry: toJson(entry), value: toJson(one) };
  });
}

/** @param what the subtask has: "key" */
function unanswered(
  job: string,
  { vertices, maxParallelism }: GraphPlan,
  operator: string,
  keyGroup: number,
  what: string,
): Error {
  const { id, parallelism } = vertices.find(({ operators }) => operators.some((one) => one.id === operator))!;
  const owner = `${id}/${ownerOf(keyGroup, parallelism, maxParallelism)}`;
  return new EnvironmentError(
    `subtask ${owner} of job ${job}, which has the ${what}, does not run, or its worker does not answer: "tidemark status ${job}" tells; without --live the latest checkpoint is read`,
  );
}

async function ask(
  view: ClusterView,
  flags: ClientFlags,
  job: string,
  look: StateLook,
): Promise<readonly LiveSubtask[]> {
  try {
    const told = await ofLeader(view, job, "look", () => clientOf(view, flags).state(job, look));
    if (told === undefined) throw unknownJob(job);
    return told;
  } catch (error) {
    if (!(error instanceof MessageTooLargeError)) throw error;
    throw new RequestRefusedError(
      `${error.message}: what is asked for is too large to be told live; without --live it is read from the latest checkpoint`,
      { cause: error },
    );
  }
}

/** Regions have generations of their own: the newest one of those that have told. */
function fromOf(told: readonly LiveSubtask[]): ReadFrom {
  return { kind: "live", generation: Math.max(0, ...told.map(({ generation }) => generation)) };
}
