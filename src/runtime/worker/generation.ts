/**
 * One generation of a job inside one worker: its subtasks and the channels between them.
 *
 * Owns: wiring. Channels between two subtasks of this process pass frames by reference, all others go over the bus.
 * Does not own: when a generation begins and ends (worker.ts).
 */

import { type EdgeEnds, receiversOf, sendersOf } from "../../../machines/graph/topology.ts";
import type { GraphPlan, Manifest, SubtaskName } from "../../../machines/protocol.ts";
import type { FeedbackChannels } from "../../../machines/worker/alignment.ts";
import { isPartOf } from "../../checkpoint/storage.ts";
import type { Deployment, GenerationRequest, SubtaskMessage, SubtaskReport } from "../../control/messages.ts";
import type { LiveSubtask, StateLook } from "../../control/requests/live-state.ts";
import type { ShortAnswer } from "../../control/shapes.ts";
import type { Bus } from "../../dataflow/channel/bus.ts";
import type { InputChannel, OutputChannel } from "../../dataflow/channel/channel.ts";
import type { ChannelId } from "../../dataflow/channel/frame.ts";
import {
  createLocalChannel,
  DEFAULT_LOCAL_WINDOW,
  NO_LOCAL_WINDOW,
} from "../../dataflow/channel/local-channel.ts";
import {
  createRemoteInput,
  createRemoteOutput,
  DEFAULT_REMOTE_WINDOW,
  NO_REMOTE_WINDOW,
} from "../../dataflow/channel/remote/remote-channel.ts";
import { type Edge, firstOf, type JobGraph, type Vertex, verticesBeforeHeld } from "../../dataflow/graph.ts";
import { InputGate } from "../../dataflow/input-gate.ts";
import { LoopEntrance } from "../../dataflow/loop-entrance.ts";
import { createEdgeOutput, type EdgeOutput } from "../../dataflow/output.ts";
import { invariant } from "../../errors.ts";
import { assign, NOTHING, type SubtaskRestore } from "../../job/restore/assignment.ts";
import { newLife } from "../life.ts";
import type { WorkerSurroundings } from "../surroundings.ts";
import type { LoopPlace } from "./subtask/input/rounds.ts";
import { Subtask } from "./subtask/subtask.ts";

export interface GenerationOptions extends WorkerSurroundings {
  readonly worker: string;
  readonly graph: JobGraph;
  readonly deployment: Deployment;
  /** What each subtask restores; one that begins without state has no entry. */
  readonly restores: ReadonlyMap<SubtaskName, SubtaskRestore>;
  readonly bus: Bus;
  /** Records frames of one channel that were sent and not yet taken. */
  readonly windowFrames: number;
  /** The job's option `checks`. */
  readonly checks: boolean;
  /** Resolves with the leader's answer; undefined: the signal has aborted. */
  readonly send: (message: SubtaskMessage, signal: AbortSignal) => Promise<ShortAnswer | undefined>;
  /** Called for each message on a channel's subject that is none of the channel's. */
  readonly onStray: (subject: string, why: string) => void;
}

export class Generation {
  readonly deployment: Deployment;
  readonly #options: GenerationOptions;
  readonly #life = newLife();
  readonly #subtasks: Subtask[] = [];
  readonly #local = new Map<string, { readonly output: OutputChannel; readonly input: InputChannel }>();

  constructor(options: GenerationOptions) {
    this.#options = options;
    this.deployment = options.deployment;
    for (const vertex of options.graph.vertices)
      for (let index = 0; index < vertex.parallelism; index++)
        if (this.#isHere(`${vertex.id}/${index}`)) this.#subtasks.push(this.#build(vertex, index));
  }

  get id(): number {
    return this.deployment.generation;
  }

  start(): void {
    this.#removeCopies();
    for (const subtask of this.#subtasks) subtask.start();
  }

  receive(message: GenerationRequest): void {
    for (const subtask of this.#subtasks) subtask.receive(message);
  }

  look(look: StateLook): LiveSubtask[] {
    return this.#subtasks.flatMap((subtask) => subtask.look(look) ?? []);
  }

  report(): readonly Omit<SubtaskReport, "worker">[] {
    return this.#subtasks.map((subtask) => subtask.report());
  }

  async close(): Promise<void> {
    this.#life.abort();
    await Promise.all(this.#subtasks.map((subtask) => subtask.close()));
  }

  /** Copies of the state of subtasks that are elsewhere now are of no use (P102). */
  #removeCopies(): void {
    const elsewhere = Object.keys(this.deployment.placement).filter((subtask) => !this.#isHere(subtask));
    this.#options.copies?.remove((name) => elsewhere.some((subtask) => isPartOf(name, subtask)));
  }

  #isHere(subtask: SubtaskName): boolean {
    return this.deployment.placement[subtask] === this.#options.worker;
  }

  #build(vertex: Vertex, index: number): Subtask {
    const { graph, deployment, restores, send } = this.#options;
    const fail = (error: unknown) => subtask.fail(error);
    const inputs: InputChannel[] = [];
    const channels: ChannelId[] = [];
    const ports: number[] = [];
    const senders: SubtaskName[] = [];
    const origins: string[] = [];
    const outputs = new Map<string, EdgeOutput>();
    if (!deployment.settle) {
      for (const edge of edgesInto(vertex, graph))
        for (const from of this.#sendersOf(edge, index)) {
          const id = { edge: edge.id, from, to: index };
          inputs.push(this.#input(edge, id, fail));
          channels.push(id);
          ports.push(edge.port);
          senders.push(`${edge.from}/${from}`);
          origins.push(`${edge.from}/${from} over edge ${edge.id}`);
        }
      for (const edge of graph.edges.filter((one) => one.from === vertex.id))
        outputs.set(
          edge.id,
          createEdgeOutput({
            partitioner: edge.partitioner,
            channels: this.#receiversOf(edge, index).map((to) =>
              this.#output(edge, { edge: edge.id, from: index, to }, (error) =>
                subtask.failSending(edge.id, error),
              ),
            ),
            subtaskIndex: index,
            maxParallelism: deployment.maxParallelism,
            receiver: edge.to,
            feedback: edge.feedback,
          }),
        );
    }
    const subtask = new Subtask({
      ...this.#options,
      vertex,
      index,
      restore: restores.get(`${vertex.id}/${index}`) ?? NOTHING,
      gate:
        inputs.length === 0 ? undefined : new InputGate(inputs, entranceOf(vertex, channels, inputs, graph)),
      loop: placeInLoop(vertex, channels, outputs, graph),
      feedback: this.#feedbackOf(channels),
      mayBeHeldUp: verticesBeforeHeld(graph).has(vertex.id),
      channels,
      ports,
      senders,
      origins,
      outputs,
      signal: this.#life.signal,
      send: (message) => send(message, this.#life.signal),
    });
    return subtask;
  }

  #feedbackOf(channels: readonly ChannelId[]): FeedbackChannels | undefined {
    const { graph, deployment } = this.#options;
    const leadingBack = channelsOf(channels, graph, ({ feedback }) => feedback === true);
    if (leadingBack.length === 0) return undefined;
    return { channels: leadingBack, stored: deployment.iterations !== "force" };
  }

  #parallelismOf(vertex: string): number {
    const found = this.#options.graph.vertices.find((one) => one.id === vertex);
    invariant(found !== undefined, `vertex ${vertex} is not in the graph`);
    return found.parallelism;
  }

  #sendersOf(edge: Edge, to: number): number[] {
    return sendersOf(this.#endsOf(edge), to);
  }

  #receiversOf(edge: Edge, from: number): number[] {
    return receiversOf(this.#endsOf(edge), from);
  }

  #endsOf({ from, to, partitioner }: Edge): EdgeEnds {
    return {
      partitioner: partitioner.kind,
      senders: this.#parallelismOf(from),
      receivers: this.#parallelismOf(to),
    };
  }

  #input(edge: Edge, id: ChannelId, onFailure: (error: unknown) => void): InputChannel {
    if (this.#isHere(`${edge.from}/${id.from}`)) return this.#localChannel(edge, id).input;
    return createRemoteInput(this.#remote(edge, id, onFailure));
  }

  #output(edge: Edge, id: ChannelId, onFailure: (error: unknown) => void): OutputChannel {
    if (this.#isHere(`${edge.to}/${id.to}`)) return this.#localChannel(edge, id).output;
    return createRemoteOutput(this.#remote(edge, id, onFailure));
  }

  #remote(edge: Edge, id: ChannelId, onFailure: (error: unknown) => void) {
    const { bus, subjects, deployment, clock, onStray } = this.#options;
    return {
      bus,
      id,
      nonce: deployment.nonce,
      inLoop: edge.loop !== undefined || edge.feedback === true,
      onStray,
      subjects: subjects.channel(deployment.job, deployment.generation, id),
      timers: {
        after(ms: number, fire: () => void) {
          const timer = clock.after(ms, fire);
          return () => timer.cancel();
        },
      },
      onFailure,
      window: edge.feedback
        ? NO_REMOTE_WINDOW
        : { ...DEFAULT_REMOTE_WINDOW, framesMax: this.#options.windowFrames },
    };
  }

  /**
   * The two ends of a local channel: both subtasks ask for it, and the second one finds what the first one has made.
   */
  #localChannel(edge: Edge, id: ChannelId): { readonly output: OutputChannel; readonly input: InputChannel } {
    const key = `${id.edge}.${id.from}.${id.to}`;
    const known = this.#local.get(key);
    if (known !== undefined) return known;
    const channel = createLocalChannel(
      edge.feedback ? NO_LOCAL_WINDOW : { ...DEFAULT_LOCAL_WINDOW, framesMax: this.#options.windowFrames },
    );
    this.#local.set(key, channel);
    return channel;
  }
}

/** The edges that lead into a vertex; those that lead back into a loop come last. */
function edgesInto(vertex: Vertex, { edges }: JobGraph): Edge[] {
  const into = edges.filter((edge) => edge.to === vertex.id);
  return [...into.filter(({ feedback }) => !feedback), ...into.filter(({ feedback }) => feedback)];
}

function channelsOf(
  channels: readonly ChannelId[],
  { edges }: JobGraph,
  isWanted: (edge: Edge) => boolean,
): number[] {
  const wanted = new Set(edges.filter(isWanted).map(({ id }) => id));
  return [...channels.keys()].filter((channel) => wanted.has(channels[channel]!.edge));
}

function entranceOf(
  vertex: Vertex,
  channels: readonly ChannelId[],
  inputs: readonly InputChannel[],
  graph: JobGraph,
): LoopEntrance | undefined {
  const { id, details } = firstOf(vertex);
  if (details.loop === undefined) return undefined;
  const [firstChannel = channels.length] = channelsOf(channels, graph, ({ feedback }) => feedback === true);
  const { waitingMax } = details.loop;
  return new LoopEntrance({ loop: id, waitingMax, channels: inputs.slice(firstChannel), firstChannel });
}

function placeInLoop(
  vertex: Vertex,
  channels: readonly ChannelId[],
  outputs: ReadonlyMap<string, EdgeOutput>,
  graph: JobGraph,
): LoopPlace | undefined {
  const inside = channelsOf(channels, graph, ({ loop }) => loop !== undefined);
  if (inside.length === 0) return undefined;
  return {
    head: firstOf(vertex).details.loop !== undefined,
    inside,
    outside: [...channels.keys()].filter((channel) => !inside.includes(channel)),
    outputs: graph.edges.flatMap(({ id, from, loop }) =>
      from === vertex.id && loop !== undefined ? [outputs.get(id)!] : [],
    ),
  };
}

/**
 * @param from the plan that the checkpoint was taken of
 * @param manifest that of the checkpoint that the deployment restores
 */
export function restoresOf(
  deployment: Deployment,
  from: GraphPlan,
  to: GraphPlan,
  manifest: Manifest | undefined,
): ReadonlyMap<SubtaskName, SubtaskRestore> {
  if (deployment.restore === null) return new Map();
  invariant(manifest !== undefined, "a deployment that restores comes with a manifest");
  const { checkpointId } = deployment.restore;
  invariant(manifest.checkpointId === checkpointId, `the manifest is that of ${manifest.checkpointId}`);
  return assign(manifest, from, to);
}
