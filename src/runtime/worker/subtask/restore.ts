/**
 * The restore of one subtask: opens its sinks, its operators and its input, and loads their state.
 *
 * Owns: the order in which they are opened. Does not own: when a restore begins (machines/worker/subtask.ts), what is
 * given back to which subtask (job/restore/assignment.ts), closing (open-parts.ts).
 *
 * - RT1 Sinks are opened first, which fences older generations at the target (P23); nothing runs before all is there.
 * - RT2 Once the generation ends, nothing more is opened, and what was being opened is closed as soon as it is there.
 */
import type { ObjectHandle } from "../../../../machines/protocol.ts";
import type { ReadBytes } from "../../../checkpoint/local-copies.ts";
import { buildChain, type Chain } from "../../../dataflow/chain.ts";
import type { Receiver } from "../../../dataflow/channel/rescaled-records.ts";
import type { SubtaskEnvironment } from "../../../dataflow/connector.ts";
import { edgeOf } from "../../../dataflow/graph.ts";
import { restoreOperatorStates } from "../../../dataflow/operators/unkeyed/operator-state.ts";
import type { EdgeOutput } from "../../../dataflow/output.ts";
import { invariant } from "../../../errors.ts";
import type { Host } from "../../actor.ts";
import { type OpeningSinks, openSinks, type SinkTransactions } from "../sinks/sink-transactions.ts";
import { createStagingArea, readerOf } from "../sinks/staging.ts";
import { restoreChannels } from "../snapshots/channel-state.ts";
import { operatorTimesIn } from "../snapshots/event-time.ts";
import { formerWindowsIn } from "../snapshots/former-windows.ts";
import { restoreKeyedState } from "../snapshots/restore.ts";
import { tellLate } from "../time/late-examples.ts";
import { ProcessingClock } from "../time/processing-timers.ts";
import { openSource } from "./input/source.ts";
import type { OpenParts } from "./open-parts.ts";
import { RunningSubtask } from "./running.ts";
import type { SubtaskOptions } from "./subtask.ts";

export interface RestoredSubtask {
  readonly sinks: SinkTransactions;
  /** The subtask that can run; undefined: the generation only commits what was decided, and reads nothing. */
  readonly running: RunningSubtask | undefined;
}

/** What a restore needs of the subtask that it is for. */
export interface RestoreContext {
  readonly host: Host;
  readonly parts: OpenParts;
  readonly environmentOf: (operator: string) => SubtaskEnvironment;
  readonly fail: (error: unknown) => void;
}

export async function restoreSubtask(
  options: SubtaskOptions,
  context: RestoreContext,
): Promise<RestoredSubtask> {
  const { restore, deployment, signal, clock, outputs, gate } = options;
  const { host, parts, fail } = context;
  const sinks = await openSinks(openingOf(options, context));
  if (deployment.settle) return { sinks, running: undefined };
  const processingClock = parts.add(new ProcessingClock(clock));
  const chain = parts.add(chainOf(options, sinks, processingClock));
  chain.restoreTimes(operatorTimesIn(restore.states));
  chain.restoreWindows(formerWindowsIn(restore.states));
  await restoreState(options, chain);
  restoreOperatorStates(chain.operatorStates, restore.states);
  signal.throwIfAborted();
  // A finished subtask takes no records, so none of its functions runs again.
  if (!restore.finished) await chain.open({ clock, signal, troubles: options.troubles });
  if (gate !== undefined)
    await restoreChannels(
      gate,
      options.channels,
      restore.channels,
      (edge) => receiverOn(edge, options),
      readerOf(options),
      clock,
    );
  const source =
    gate === undefined ? await openSource(options, context.environmentOf, chain, parts) : undefined;
  await Promise.all([...outputs.values()].map((output) => output.opened()));
  signal.throwIfAborted();
  const running = new RunningSubtask(options, { host, fail, sinks, chain, processingClock, source });
  running.rehearse();
  return { sinks, running };
}

/** From the copies of this machine, as far as they go (P102). */
async function restoreState(options: SubtaskOptions, chain: Chain): Promise<void> {
  const { restore, copies, clock, logger, vertex, index } = options;
  const read: ReadBytes = { local: 0, stored: 0 };
  const stored = readerOf(options);
  const reader = copies === undefined ? stored : (object: ObjectHandle) => copies.read(object, read, stored);
  const startedMs = clock.elapsedMs();
  await restoreKeyedState(chain, restore.states, reader, clock);
  if (copies === undefined || read.local + read.stored === 0) return;
  const tookMs = Math.round(clock.elapsedMs() - startedMs);
  const facts = { localBytes: read.local, storedBytes: read.stored, tookMs };
  logger.info({ subtask: `${vertex.id}/${index}`, ...facts }, "state restored: local copies, and storage");
}

function receiverOn(edge: string, { graph, vertex, index, deployment }: SubtaskOptions): Receiver {
  const { maxParallelism } = deployment;
  return {
    partitioner: edgeOf(graph, edge).partitioner,
    index,
    parallelism: vertex.parallelism,
    maxParallelism,
  };
}

function openingOf(
  options: SubtaskOptions,
  { host, parts, environmentOf, fail }: RestoreContext,
): OpeningSinks {
  const { vertex, index, deployment, restore, timings, troubles, clock, storage, signal } = options;
  return {
    host,
    clock,
    incarnation: deployment.incarnation,
    inherits: deployment.inherits,
    fail,
    subtaskIndex: index,
    retryMs: timings.commitRetryMs,
    troubles,
    operators: vertex.operators,
    restore,
    environmentOf: (operator, restoredState) => ({
      ...environmentOf(operator),
      restoredState,
      restoredCheckpointId: deployment.restore?.checkpointId ?? 0,
      staging: createStagingArea({
        storage,
        at: { ...deployment, sink: operator, writer: index },
        troubles,
        clock,
        signal,
      }),
    }),
    parts,
    signal,
  };
}

function chainOf(options: SubtaskOptions, sinks: SinkTransactions, processingTime: ProcessingClock): Chain {
  const { vertex, index, deployment, outputs, checks, clock, backends } = options;
  const outputOf = (edge: string): EdgeOutput => {
    const output = outputs.get(edge);
    invariant(output !== undefined, `edge ${edge} has no output`);
    return output;
  };
  return buildChain(vertex, {
    subtaskIndex: index,
    maxParallelism: deployment.maxParallelism,
    openBackend: backends?.of(deployment.generation),
    keepsChanges: deployment.incremental,
    output: (edge) => outputOf(edge).collect,
    mark: (edge, watermark, isIdle) => outputOf(edge).mark(watermark, isIdle),
    writer: (operator) => sinks.writer(operator),
    processingTime,
    elapsedMs: () => clock.elapsedMs(),
    late: (example) => tellLate(options, example),
    checks,
  });
}
