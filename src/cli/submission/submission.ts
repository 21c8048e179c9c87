/** The submission of a job, as it goes to the leader: what a client with the user's code finds out. */
import type { JobSubmission } from "../../control/messages.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { JobGraph } from "../../dataflow/graph.ts";
import { checkSink } from "../../dataflow/guards/guarded-sink.ts";
import { discoverSplits } from "../../dataflow/guards/guarded-source.ts";
import type { SinkTarget } from "../../dataflow/sink.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { graphFingerprint } from "../../job/fingerprint.ts";
import { NatsEnvironment } from "../../nats/connection/environment.ts";
import { NatsLink } from "../../nats/connection/link.ts";
import { newId, type PreparedJob } from "../assembly.ts";
import { type GapFlags, withDecisions } from "./gaps.ts";
import { noteMade, withMade } from "./made-before.ts";
import { checkOwnOutput } from "./own-output.ts";
import { Prerequisites, sayingOnce } from "./prerequisites.ts";
import { checkSize } from "./submission-size.ts";

/**
 * Asks the sources for their splits and the sinks whether they could commit: runs where the user's code is loaded.
 * Nothing is made before all of them were asked.
 *
 * @throws PrerequisiteError that names all that is missing
 */
export async function submissionOf(
  prepared: PreparedJob,
  environment: ConnectorEnvironment,
  /** The description of the checkpoint storage. */
  storageDescription: string,
  decisions: GapFlags = {},
): Promise<JobSubmission> {
  const { job, config, plan, graph } = prepared;
  const splits: Record<string, readonly SourceSplit[]> = {};
  const targets: Record<string, SinkTarget> = {};
  const prerequisites = new Prerequisites(environment.nats);
  const logger = sayingOnce(environment.logger);
  const looking = { ...environment, logger, dryRun: true, planned: new Map<string, unknown>() } as const;
  for (const vertex of graph.vertices)
    for (const { operator } of vertex.operators) {
      const { source, sink } = operator.details;
      if (source !== undefined)
        splits[operator.id] =
          (await prerequisites.ask(() => discoverSplits(operator.id, source, looking))) ?? [];
      if (sink === undefined) continue;
      await prerequisites.ask(() => checkSink(operator.id, sink, looking));
      if (sink.target !== undefined) targets[operator.id] = sink.target;
    }
  await prerequisites.assertMet();
  checkOwnOutput(splits, targets, (message) => logger.warn({}, message));
  const { inlineThresholdBytes: _ofTheWorkers, storage: askedFor, ...checkpointing } = config.checkpointing;
  const submission: JobSubmission = {
    job: job.name,
    submissionId: newId(),
    plan,
    graphFingerprint: graphFingerprint(plan),
    codeFingerprint: prepared.codeFingerprint,
    codeListing: prepared.codeListing,
    checkpointing,
    restart: config.restart,
    heartbeat: config.heartbeat,
    fixesMaxParallelism: config.fixesMaxParallelism,
    ...(config.scaling !== undefined && { scaling: config.scaling }),
    splits: withDecisions(splits, decisions),
    storage: askedFor === null ? null : storageDescription,
  };
  const { nats } = environment;
  if (nats instanceof NatsEnvironment) checkSize(submission, NatsLink.of(nats.connection).payload.bytesMax);
  if (environment.dryRun !== true) noteMade(submission, await provide(graph, { ...environment, logger }));
  return submission;
}

/**
 * Lets the sinks make what they need, once nothing is left that would refuse the submission. Answers what was made.
 * @throws what a sink still meets, with what was made by then
 */
async function provide(graph: JobGraph, environment: ConnectorEnvironment): Promise<readonly string[]> {
  const all: string[] = [];
  const making = { ...environment, made: (what: string) => void all.push(what) };
  try {
    for (const { operators } of graph.vertices)
      for (const { operator } of operators)
        if (operator.details.sink !== undefined) await checkSink(operator.id, operator.details.sink, making);
    return all;
  } catch (error) {
    throw withMade(error, all);
  }
}
