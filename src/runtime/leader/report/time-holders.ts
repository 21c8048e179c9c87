/**
 * Who holds event time back in a job: found from what its subtasks report, from the operators that feel it back to the
 * splits that cause it. A pure function.
 *
 * Owns: the way from channel to sender. Does not own: why a split or a subtask stands (its worker says so).
 */
import type { GraphPlan, SubtaskName, VertexPlan } from "../../../../machines/protocol.ts";
import type {
  OperatorsTime,
  SubtaskTime,
  TimeHold,
  TimeHolder,
} from "../../../control/event-time-messages.ts";
import type { SubtaskReport } from "../../../control/messages.ts";

const HOLDERS_MAX = 10;

type Reports = ReadonlyMap<SubtaskName, SubtaskTime>;

/** One entry for each vertex that gets watermarks or makes some, upstream first. */
export function timesOfOperators(
  plan: GraphPlan,
  subtasks: readonly Pick<SubtaskReport, "subtask" | "eventTime">[],
): OperatorsTime[] {
  const reports = new Map(
    subtasks.flatMap(({ subtask, eventTime }) => (eventTime === undefined ? [] : [[subtask, eventTime]])),
  );
  const withTime = verticesWithTime(plan, reports);
  const finder = new HolderFinder(reports);
  return plan.vertices.flatMap((vertex) => {
    const time = withTime.has(vertex.id) ? timeOf(vertex, reports, finder) : undefined;
    return time === undefined ? [] : [time];
  });
}

/** What a vertex without a source that makes watermarks in front of it tells is of no interest. */
function verticesWithTime({ vertices, edges }: GraphPlan, reports: Reports): ReadonlySet<string> {
  const makes = ({ id, parallelism }: VertexPlan) =>
    namesOf(id, parallelism).some((name) => reports.get(name)?.makesWatermarks === true);
  const found = new Set(vertices.filter(makes).map(({ id }) => id));
  for (const id of found)
    for (const { from, to, feedback } of edges) if (from === id && !feedback) found.add(to);
  return found;
}

function timeOf(
  { id, parallelism, operators }: VertexPlan,
  reports: Reports,
  finder: HolderFinder,
): OperatorsTime | undefined {
  const told = namesOf(id, parallelism).flatMap((subtask) => {
    const time = reports.get(subtask);
    return time === undefined ? [] : [{ subtask, time }];
  });
  if (told.length === 0) return undefined;
  const active = told.filter(({ time }) => time.status === "active");
  const least = Math.min(...active.map(({ time }) => number(time.watermark)));
  const slowest = active.filter(({ time }) => number(time.watermark) === least);
  const holders = distinct(slowest.flatMap(({ subtask }) => finder.of(subtask)));
  const of = operators.map((operator) => operator.id);
  const { status, watermark, sinceMs } = slowest.length === 0 ? resting(told) : standing(slowest);
  return {
    operators: of,
    status,
    watermark,
    sinceMs,
    holders: holders.slice(0, HOLDERS_MAX),
    holdersMore: Math.max(0, holders.length - HOLDERS_MAX),
  };
}

type Told = readonly { readonly time: SubtaskTime }[];

/** All that are slowest stand there since the last of them came there. */
function standing(slowest: Told): Pick<OperatorsTime, "status" | "watermark" | "sinceMs"> {
  const sinceMs = Math.max(...slowest.map(({ time }) => time.sinceMs));
  return { status: "active", watermark: slowest[0]!.time.watermark, sinceMs };
}

/** Where no subtask is active, event time is at the greatest of those that are idle. */
function resting(told: Told): Pick<OperatorsTime, "status" | "watermark" | "sinceMs"> {
  const idle = told.filter(({ time }) => time.status === "idle");
  const [first = told[0]!] = [...idle].sort((a, b) => number(b.time.watermark) - number(a.time.watermark));
  const { status, watermark, sinceMs } = first.time;
  return { status, watermark, sinceMs };
}

class HolderFinder {
  readonly #reports: Reports;
  readonly #found = new Map<SubtaskName, readonly TimeHolder[]>();

  constructor(reports: Reports) {
    this.#reports = reports;
  }

  /** What holds the event time of this subtask. Reports of different moments may leave none. */
  of(subtask: SubtaskName): readonly TimeHolder[] {
    const known = this.#found.get(subtask);
    if (known !== undefined) return known;
    // One that is asked for again meanwhile is no cause of itself.
    this.#found.set(subtask, []);
    const found = (this.#reports.get(subtask)?.holds ?? []).flatMap((hold) => this.#behind(subtask, hold));
    this.#found.set(subtask, found);
    return found;
  }

  #behind(subtask: SubtaskName, hold: TimeHold): readonly TimeHolder[] {
    const { from, reason, ...facts } = hold;
    if (reason !== "upstream" && this.#isItself(hold))
      return [{ ...facts, reason, operator: subtask.slice(0, subtask.lastIndexOf("/")), subtask }];
    return from === undefined ? [] : this.of(from);
  }

  /** What the sender has told is on its way: what keeps this subtask from taking it holds event time. */
  #isItself({ from, reason, watermark }: TimeHold): boolean {
    if (from === undefined || reason === "rules") return true;
    const sender = this.#reports.get(from);
    return sender !== undefined && isAhead(sender, watermark);
  }
}

function isAhead(sender: SubtaskTime, watermark: number | null): boolean {
  return sender.status !== "active" || number(sender.watermark) > number(watermark);
}

/** Each once, the longest first. */
function distinct(holders: readonly TimeHolder[]): TimeHolder[] {
  const named = new Map(holders.map((holder) => [holderName(holder), holder]));
  return [...named.values()].sort((a, b) => a.sinceMs - b.sinceMs);
}

export function holderName({ subtask, split }: Pick<TimeHolder, "subtask" | "split">): string {
  return split === undefined ? subtask : `${subtask} ${split}`;
}

const namesOf = (vertex: string, parallelism: number): SubtaskName[] =>
  Array.from({ length: parallelism }, (_, index): SubtaskName => `${vertex}/${index}`);

const number = (watermark: number | null): number => watermark ?? Number.NEGATIVE_INFINITY;
