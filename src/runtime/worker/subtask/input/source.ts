/**
 * The source of one subtask: what its records come from, and how far they had been read at each checkpoint.
 *
 * Owns: the reader, the positions of checkpoints that are not decided yet, where a drained source ends, when its splits
 * are asked for their watermarks. Does not own: when it is read (turns.ts), when it is held
 * (machines/worker/subtask.ts), which splits it is dealt (dataflow/source.ts), what watermarks they answer
 * (dataflow/time/source-time.ts).
 */
import type { StateHandle } from "../../../../../machines/protocol.ts";
import type { Timer } from "../../../../clock.ts";
import type { SubtaskTime } from "../../../../control/event-time-messages.ts";
import type { PausedReport } from "../../../../control/source-messages.ts";
import type { Chain } from "../../../../dataflow/chain.ts";
import type { SubtaskEnvironment } from "../../../../dataflow/connector.ts";
import { firstOf, hasWatermarks } from "../../../../dataflow/graph.ts";
import { openReader } from "../../../../dataflow/guards/guarded-source.ts";
import { isSplits, splitsHandle, splitsIn } from "../../../../dataflow/operators/source.ts";
import {
  type Collect,
  type PollStatus,
  positionsOf,
  type Skipped,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
  splitsOf,
} from "../../../../dataflow/source.ts";
import {
  DEFAULT_INTERVAL_MS,
  type SourceEventTime,
  SourceTime,
} from "../../../../dataflow/time/source-time.ts";
import { invariant, OperatorError, SourcePositionError } from "../../../../errors.ts";
import type { OpenParts } from "../open-parts.ts";
import { RECORDS_PER_SLICE_MAX, SLICE_MS, SliceSize } from "../slice-size.ts";
import type { SubtaskOptions } from "../subtask.ts";
import { type SenderFacts, silenceFacts, TimeReporter } from "../time-report.ts";
import type { InputObstacle } from "../turns.ts";
import { EventTimeFlow } from "./event-time.ts";
import type { SubtaskInput } from "./input.ts";
import { paceOf } from "./pace.ts";
import type { Pace } from "./paused-splits.ts";
import { SkippedInput } from "./skipped-input.ts";
import { TimestampsAhead } from "./timestamps-ahead.ts";
import { TimestampsUnit } from "./timestamps-unit.ts";

/** At most so many records come in a row when a function turns slow (SZ1). A poll and a look take about 100 ns. */
const RECORDS_BETWEEN_LOOKS = 32;

/** @param chain takes what is read. @param parts the reader and its clock become two of them */
export async function openSource(
  options: SubtaskOptions,
  environmentOf: (operator: string) => SubtaskEnvironment,
  chain: Chain,
  parts: OpenParts,
): Promise<SubtaskInput> {
  const { vertex, index, deployment, restore, outputs } = options;
  const operator = firstOf(vertex);
  const { source, eventTime = NO_EVENT_TIME } = operator.details;
  invariant(source !== undefined, `vertex ${vertex.id} has neither a source nor an input`);
  if (restore.finished) return new EndedSource(restore.states.filter(isSplits));
  const splits = deployment.splits[operator.id] ?? [];
  const dealt = (splitsOf(splits, index, vertex.parallelism) as SourceSplit[]).filter(
    ({ id }) => !restore.knownSplits.has(id),
  );
  const restored = splitsIn(restore.states, operator.id);
  const positions = positionsOf(restored, dealt, splits);
  const reader = parts.add(await openReader(operator.id, source, environmentOf(operator.id), positions));
  const times = positions.map(({ split }) => restored?.find((one) => one.split.id === split.id)?.time);
  return parts.add(
    new ReadingSource({
      ...options,
      operator: operator.id,
      reader,
      splitIds: positions.map(({ split }) => split.id),
      chain,
      splitTime: new SourceTime(operator.id, eventTime, times),
      eventTime: operator.details.eventTime,
      flow: new EventTimeFlow({
        operator: operator.id,
        subtaskIndex: index,
        chain,
        outputs: [...outputs.values()],
        channels: [],
        // A subtask without splits holds nothing back.
        splits: times.length === 0 ? [NO_SPLITS] : times.map((time) => time ?? BEGINNING),
        restored: restore.states,
      }),
    }),
  );
}

const BEGINNING = { watermark: Number.NEGATIVE_INFINITY, isIdle: false };
const NO_SPLITS = { watermark: Number.NEGATIVE_INFINITY, isIdle: true };
const NO_EVENT_TIME = { intervalMs: DEFAULT_INTERVAL_MS };

interface ReadingSourceOptions
  extends Pick<
    SubtaskOptions,
    "graph" | "vertex" | "index" | "clock" | "feed" | "logger" | "troubles" | "deployment" | "send"
  > {
  readonly operator: string;
  readonly reader: SourceReader<unknown>;
  /** The splits in the order in which the reader was given them. */
  readonly splitIds: readonly string[];
  readonly chain: Chain;
  readonly splitTime: SourceTime;
  /** undefined: the job says nothing of event time. */
  readonly eventTime: SourceEventTime | undefined;
  readonly flow: EventTimeFlow;
}

class ReadingSource implements SubtaskInput {
  readonly #options: ReadingSourceOptions;
  readonly #collect: Collect<unknown>;
  readonly #skipped: SkippedInput;
  readonly #ahead: TimestampsAhead | undefined;
  /** The positions of each checkpoint that is not decided yet. */
  readonly #positions = new Map<number, readonly SplitPosition[]>();
  /** undefined: the source is aligned with no others. */
  readonly #pace: Pace | undefined;
  readonly #unit: TimestampsUnit;
  readonly #size: SliceSize;
  /** undefined: no operator of the job makes watermarks. */
  readonly #timeReporter: TimeReporter | undefined;
  #records = 0;
  #ended = false;
  #drained = false;
  /** What the reader has answered last. */
  #status: PollStatus = "more";
  #nextLook: Timer | undefined;
  #wake: () => void = () => {};

  constructor(options: ReadingSourceOptions) {
    this.#options = options;
    const { reader, vertex, index, chain, eventTime, splitTime } = options;
    this.#unit = new TimestampsUnit(options.operator, options.troubles);
    const subtask = `${vertex.id}/${index}` as const;
    this.#skipped = new SkippedInput(reader, subtask, options);
    const describePosition = () => reader.describePosition();
    if (eventTime?.maxAhead !== undefined)
      this.#ahead = new TimestampsAhead({ ...options, ...eventTime.maxAhead, subtask, describePosition });
    this.#pace = paceOf({
      ...options,
      alignment: eventTime?.alignment,
      subtask,
      senders: options.flow.senders,
      ask: options.send,
      wake: () => this.#wake(),
    });
    if (hasWatermarks(options.graph))
      this.#timeReporter = new TimeReporter({
        ...options,
        makesWatermarks: eventTime?.watermarks !== undefined,
        factsOf: (split, sinceMs, obstacle) => this.#factsOf(split, sinceMs, obstacle),
      });
    const head = chain.heads[0]!;
    this.#collect = eventTime
      ? this.#collectWithTime(head)
      : (value, timestamp) => {
          this.#records++;
          head(value, timestamp);
        };
    // What is due at a watermark is worked off before the next record.
    this.#size = new SliceSize(splitTime.perRecord && chain.reactsToTime ? 1 : RECORDS_PER_SLICE_MAX);
  }

  get records(): number {
    return this.#records;
  }

  start(): void {
    this.#options.flow.start();
    this.#pace?.start();
  }

  take(): PollStatus {
    const { flow } = this.#options;
    if (flow.isAdvancing) {
      flow.step();
      return "more";
    }
    if (this.#ended) return "idle";
    if (this.#status === "ended" || this.#drained) return this.#end();
    if (this.#pace !== undefined) this.#keepPace(this.#pace);
    this.#status = this.#isStopped ? "idle" : this.#poll();
    if (this.#options.eventTime !== undefined) this.#lookAtTime();
    // What is due at the end of input comes first.
    return this.#status === "ended" ? "more" : this.#status;
  }

  /** Its barriers are triggers, which pass between two records as they are. */
  takeBarrier(): false {
    return false;
  }

  pending(): number | undefined {
    const { reader, splitIds } = this.#options;
    if (reader.splitPending === undefined) return undefined;
    const left = splitIds.reduce((sum, _, split) => sum + reader.splitPending!(split), 0);
    return Number.isFinite(left) ? left : undefined;
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
    this.#options.reader.onAvailable(wake);
  }

  drain(): void {
    this.#drained = true;
    this.#wake();
  }

  cut(checkpointId: number): readonly StateHandle[] {
    const { operator, index, reader, flow, splitTime, splitIds, eventTime } = this.#options;
    const positions = reader.snapshot();
    this.#positions.set(checkpointId, positions);
    if (eventTime === undefined) return [splitsHandle(operator, index, positions)];
    const timed = positions.map((position) => {
      const split = splitIds.indexOf(position.split.id);
      return { ...position, time: splitTime.snapshot(split, flow.senders.senderIsIdle(split)) };
    });
    return [splitsHandle(operator, index, timed), ...flow.snapshot()];
  }

  confirm(checkpointId: number): void {
    const positions = this.#positions.get(checkpointId);
    for (const id of this.#positions.keys()) if (id <= checkpointId) this.#positions.delete(id);
    if (positions !== undefined) this.#options.reader.checkpointCompleted(positions);
  }

  abort(checkpointId: number): void {
    this.#positions.delete(checkpointId);
  }

  describePosition(): string {
    return this.#options.reader.describePosition();
  }

  skipped(): Skipped | null {
    return this.#skipped.report();
  }

  paused(): PausedReport | null {
    return this.#pace?.report() ?? null;
  }

  eventTime(obstacle: InputObstacle | undefined): SubtaskTime | null {
    return this.#timeReporter?.report(obstacle) ?? null;
  }

  close(): void {
    this.#nextLook?.cancel();
    this.#pace?.close();
    this.#unit.close();
  }

  /** The reader cannot leave out single splits, and none of them may be read. */
  get #isStopped(): boolean {
    return this.#pace?.isAtLimit === true && this.#options.reader.pauseSplits === undefined;
  }

  #keepPace(pace: Pace): void {
    if (pace.look()) this.#options.reader.pauseSplits?.((split) => pace.isPaused(split));
  }

  #poll(): PollStatus {
    const { reader, operator, clock } = this.#options;
    this.#ahead?.begin();
    const startedMs = clock.elapsedMs();
    const before = this.#records;
    const most = this.#size.records;
    try {
      let tookMs = 0;
      let status: PollStatus;
      let asked = 0;
      do {
        const records = Math.min(most - asked, RECORDS_BETWEEN_LOOKS);
        status = reader.poll(this.#collect, records);
        asked += records;
        tookMs = clock.elapsedMs() - startedMs;
        // One that gives fewer than it may has no more at hand.
      } while (asked < most && tookMs <= SLICE_MS && status === "more" && this.#records - before === asked);
      this.#size.adapt(this.#records - before, tookMs);
      return status;
    } catch (error) {
      // It is no failure of user code, and names its place itself.
      if (error instanceof SourcePositionError) throw error;
      const located = error instanceof OperatorError ? error : new OperatorError(operator, error);
      throw located.at(reader.describePosition());
    }
  }

  #collectWithTime(head: Collect<unknown>): Collect<unknown> {
    const { flow, reader, splitTime, chain } = this.#options;
    const { senders } = flow;
    const ahead = this.#ahead;
    const aside = chain.heads[1];
    return (value, given) => {
      this.#records++;
      const timestamp = splitTime.timestampOf(value, given);
      const split = reader.currentSplit ?? 0;
      // Whatever becomes of the record: it wakes the channels that it goes through, so they are told again of idleness.
      if (senders.senderIsIdle(split)) flow.spoke(split);
      if (ahead !== undefined && timestamp > ahead.limit) {
        ahead.count(timestamp);
        if (aside === undefined) head(value, ahead.limit);
        else aside(value, timestamp);
        return;
      }
      head(value, timestamp);
      if (!splitTime.passed(split, value, timestamp)) return;
      senders.advanced(split, splitTime.watermark(split));
      flow.follow();
    };
  }

  /** Asks the splits for their watermarks when it is time, and sees to it that there is a turn for the next time. */
  #lookAtTime(): void {
    const { flow, splitTime, splitIds, clock } = this.#options;
    const nowMs = clock.elapsedMs();
    const nextMs = splitTime.nextLookMs(flow.senders);
    if (nextMs === undefined) return;
    if (nowMs >= nextMs) {
      splitTime.look(nowMs, flow.senders, (split) => this.#statusOf(split));
      const watermarks = splitIds.map((_, split) => splitTime.watermark(split));
      this.#unit.look(watermarks, clock.nowMs());
      flow.follow();
    }
    if (this.#status === "idle") this.#wakeForTime(nowMs);
  }

  /** A split that is paused is not idle: it could not be read. */
  #statusOf(split: number): PollStatus {
    const status = this.#options.reader.splitStatus?.(split) ?? this.#status;
    return status === "idle" && this.#pace?.isPaused(split) === true ? "more" : status;
  }

  /** What is known of a split that holds event time back. */
  #factsOf(split: number, sinceMs: number, obstacle: InputObstacle | undefined): SenderFacts {
    const { splitIds, splitTime, eventTime, reader, clock } = this.#options;
    const pending = reader.splitPending?.(split) ?? Number.NaN;
    const about = {
      split: splitIds[split]!,
      ...(Number.isFinite(pending) && { pending: Math.ceil(pending) }),
    };
    if (eventTime?.watermarks === undefined) return { ...about, reason: "noWatermarks" };
    const { idleAfterMs } = eventTime;
    const silence = silenceFacts(
      clock,
      { lastRecordMs: splitTime.lastRecordMs(split), idleAfterMs },
      sinceMs,
    );
    const isPaused = this.#pace?.isPaused(split) === true;
    return { ...about, ...silence, reason: isPaused ? "paused" : (obstacle ?? silence.reason) };
  }

  #wakeForTime(nowMs: number): void {
    const { flow, splitTime, clock } = this.#options;
    const nextMs = splitTime.nextLookMs(flow.senders);
    if (nextMs === undefined || this.#nextLook !== undefined) return;
    this.#nextLook = clock.after(Math.max(1, Math.ceil(nextMs - nowMs)), () => {
      this.#nextLook = undefined;
      this.#wake();
    });
  }

  #end(): "more" | "ended" {
    const { flow } = this.#options;
    flow.senders.finishAll();
    flow.follow();
    if (flow.isAdvancing) return "more";
    this.#ended = true;
    return "ended";
  }
}

/**
 * A source whose input had ended before the restored checkpoint: its splits are handed on from checkpoint to
 * checkpoint.
 */
class EndedSource implements SubtaskInput {
  readonly records = 0;
  readonly #splits: readonly StateHandle[];

  constructor(splits: readonly StateHandle[]) {
    this.#splits = splits;
  }

  start(): void {}

  take(): "idle" {
    return "idle";
  }

  takeBarrier(): false {
    return false;
  }

  onAvailable(): void {}

  drain(): void {}

  cut(): readonly StateHandle[] {
    return this.#splits;
  }

  confirm(): void {}

  abort(): void {}

  describePosition(): string {
    return "the end of its input";
  }

  skipped(): null {
    return null;
  }

  eventTime(): null {
    return null;
  }
}
