/**
 * A worker process: offers slots to the leader of one job and runs what is deployed on it.
 *
 * Owns: registration, the present generation of each region, tearing older ones down. Does not own: what a subtask does
 * (subtask.ts).
 *
 * WK1  A deployment is accepted only after every older generation of its region has been torn down here; past the
 *     cancel timeout the process exits (P29).
 * WK2  Messages of another generation than the present one of a region are answered "stale" and change nothing (P2).
 * WK3  Only what its own leader has sealed is believed: the secret of the worker is in its registration, that of a
 *      generation in its deployment (P69).
 */
import type { CodeListing, Manifest } from "../../../machines/protocol.ts";
import type { LocalCopies } from "../../checkpoint/local-copies.ts";
import { subtaskPlaceIn } from "../../checkpoint/storage.ts";
import { pauseOn } from "../../clock.ts";
import type { ControlLink } from "../../control/link.ts";
import type {
  Deployment,
  GenerationRequest,
  LeaderAnswer,
  PingAnswer,
  SubtaskMessage,
  WorkerIdentity,
  WorkerRegistration,
  WorkerRequest,
} from "../../control/messages.ts";
import type { LiveAnswer, StateLook } from "../../control/requests/live-state.ts";
import type { Parallelism, PlanAnswer, PlanQuestion } from "../../control/requests/rescale.ts";
import { generationSecret } from "../../control/seal.ts";
import { type ShortAnswer, shapes } from "../../control/shapes.ts";
import { withStore } from "../../control/store-identity.ts";
import type { Subscription } from "../../dataflow/channel/bus.ts";
import type { JobGraph } from "../../dataflow/graph.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { describeError, ForeignAnswerError, RequestRefusedError, retryOf } from "../../errors.ts";
import { codeDifferences } from "../../job/code/code-listing.ts";
import { planOf } from "../../job/plan.ts";
import { DirectoryClaim } from "../directory-claim.ts";
import { newLife } from "../life.ts";
import { readManifest } from "../manifest.ts";
import type { WorkerSurroundings } from "../surroundings.ts";
import { tellTroubles } from "../trouble-report.ts";
import { Generation, restoresOf } from "./generation.ts";
import { retryPassing } from "./sinks/staging.ts";

export interface WorkerOptions extends WorkerSurroundings {
  /** Random per process start (P5). */
  readonly id: string;
  readonly job: string;
  /** The job's graph with these numbers of subtasks. @throws ConfigurationError */
  readonly graphOf: GraphOf;
  readonly codeFingerprint: string;
  readonly codeListing: CodeListing;
  readonly slots: number;
  readonly processId: number;
  /** Name of its machine. */
  readonly host: string;
  readonly link: ControlLink;
  readonly windowFrames: number;
  /** true: what functions hand on and set is looked at closely, and frozen. */
  readonly checks: boolean;
  /** Called with the id of the leader, before what it deploys reads or writes state (P98). */
  readonly onDeploying?: ((leader: string) => void) | undefined;
  /** Called when the leader refuses this worker, because it has another version of the job. */
  readonly onRefused: (error: RequestRefusedError) => void;
  /** Called when a generation did not end in time: the process must end (P29). */
  readonly onStuck: (error: Error) => void;
}

/** The numbers of subtasks that a graph is to have; `parallelism`: as the worker was started. */
export interface GraphWanted {
  readonly parallelism?: number;
  readonly operators: Parallelism;
  readonly maxParallelism: number;
}

export type GraphOf = (wanted: GraphWanted) => JobGraph;

const LAST_WORD_MS = 1000;

/** Some names are enough: they say which subtask is to be placed here again. */
function copiesOffered(copies: LocalCopies | undefined): WorkerRegistration["copies"] {
  if (copies === undefined) return undefined;
  const offered: { [incarnation: string]: number[] } = {};
  for (const name of copies.names) {
    const place = subtaskPlaceIn(name);
    if (place === undefined) continue;
    const known = offered[place.incarnation] ?? [];
    if (!known.includes(place.index)) offered[place.incarnation] = [...known, place.index];
  }
  return offered;
}

/** What one region runs here, and the wire that it is spoken to over. */
interface Running {
  readonly generation: Generation;
  readonly wire: Subscription;
}

export class Worker {
  readonly #options: WorkerOptions;
  readonly #life = newLife();
  readonly #subscriptions: Subscription[] = [];
  /** The generation that runs, by region. */
  readonly #running = new Map<number, Running>();
  /** Highest generation that was deployed or ended here. */
  readonly #highest: number[] = [];
  #deploying: Promise<unknown> = Promise.resolve();
  readonly #leader: TroubleWatch;
  readonly #directory: DirectoryClaim;
  /** See WorkerRegistration. */
  readonly #secret: string;
  readonly #inbox: string;
  #registrations = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#secret = options.newId();
    this.#inbox = options.link.bus.newInbox();
    this.#directory = new DirectoryClaim(options.storage, options.id, options.newId());
    this.#leader = options.troubles.watch("reaching the leading coordinator");
    tellTroubles(options.troubles, options, {
      job: options.job,
      id: `worker ${options.id}`,
      generation: () => Math.max(0, ...this.#ping().generations),
    });
  }

  get identity(): WorkerIdentity {
    return { worker: this.#options.id, secret: this.#secret };
  }

  get registered(): boolean {
    return this.#registered;
  }
  #registered = false;

  async start(): Promise<void> {
    const { link, subjects, id } = this.#options;
    for (const subject of [subjects.workers(id), this.#inbox])
      this.#subscriptions.push(
        link.serve(
          subject,
          shapes.workerRequest,
          (request) => this.#receive(request),
          this.#messageFailed,
          this.#secret,
        ),
      );
    await link.bus.flush();
    void this.#register();
  }

  async stop(): Promise<void> {
    this.#life.abort();
    this.#options.troubles.close();
    for (const subscription of this.#subscriptions) subscription.close();
    void this.#directory.end();
    await Promise.all([...this.#running.keys()].map((region) => this.#tearDown(region)));
  }

  /** Tells the leader that the process cannot go on. Resolves when it has heard, or does not answer. */
  async crashed(reason: string): Promise<void> {
    const { link, subjects, job } = this.#options;
    this.#life.abort();
    const secret = this.#secret;
    const lastWord = { type: "worker.crashed", job, ...this.identity, reason };
    await link.ask(subjects.control(job), lastWord, shapes.leaderAnswer, LAST_WORD_MS, { secret });
  }

  readonly #messageFailed = (error: unknown): void =>
    this.#options.logger.warn({ error: describeError(error) }, "message could not be handled");

  /** Registers again and again: a new leader so learns of this worker, and a worker of a newer generation (P28). */
  async #register(): Promise<void> {
    const { link, subjects, job, codeFingerprint, slots, processId, host, timings, storage, clock } =
      this.#options;
    const { identity } = this.#options;
    const { signal } = this.#life;
    while (!signal.aborted) {
      const registration: WorkerRegistration = {
        type: "worker.register",
        job,
        ...this.identity,
        inbox: this.#inbox,
        nth: this.#registrations++,
        codeFingerprint,
        slots,
        processId,
        host,
        storage: storage.description,
        directory: this.#directory.present,
        copies: copiesOffered(this.#options.copies),
      };
      try {
        const request = await withStore(registration, identity);
        const answer = await link.ask(subjects.control(job), request, shapes.leaderAnswer, 1000, {
          secret: this.#secret,
        });
        this.#registered = answer.answer === "accepted";
        if (answer.answer === "unproven" && (await this.#directory.prove(answer.note))) continue;
        if (answer.answer === "accepted" || answer.answer === "refused") await this.#directory.end();
        if (answer.answer === "refused")
          this.#options.onRefused(new RequestRefusedError(this.#whyRefused(answer)));
        if (answer.answer === "unknown")
          this.#leader.failed(answer.reason ?? `job ${job} is not submitted, or has ended`);
        else this.#leader.passed();
        if (answer.answer === "accepted") this.#endOlderThan(answer.generations ?? [], answer.planSince ?? 0);
      } catch (error) {
        this.#registered = false;
        if (retryOf(error) !== "now") throw error;
        if (error instanceof ForeignAnswerError) identity?.doubt();
        this.#leader.failed(error);
      }
      await pauseOn(clock, timings.registerIntervalMs, signal);
    }
  }

  #whyRefused({ reason, codeListing }: LeaderAnswer & { readonly answer: "refused" }): string {
    if (codeListing === undefined) return reason;
    const differences = codeDifferences(codeListing, this.#options.codeListing);
    return `${reason}: ${differences}; start the workers from the submitted files and packages, or submit the job again`;
  }

  #receive(request: WorkerRequest): unknown {
    switch (request.type) {
      case "worker.ping":
        return this.#ping();
      case "worker.state":
        return this.#look(request.look);
      case "worker.plan":
        return this.#plan(request);
      case "generation.deploy":
        return this.#inOrder(() => this.#deploy(request.deployment));
      case "generation.teardown":
        return this.#inOrder(async () => {
          await this.#endUpTo(request.region, request.generation);
          return { answer: "accepted" };
        });
    }
  }

  #ping(): PingAnswer {
    return {
      worker: this.#options.id,
      generations: Array.from(this.#highest, (generation) => generation ?? 0),
      subtasks: [...this.#running.values()].flatMap(({ generation }) => generation.report()),
      troubles: this.#options.troubles.list(),
    };
  }

  #plan({ parallelism, operators, maxParallelism }: PlanQuestion): PlanAnswer {
    try {
      const asked = { operators, maxParallelism, ...(parallelism === null ? {} : { parallelism }) };
      return { answer: "planned", plan: planOf(this.#options.graphOf(asked)) };
    } catch (error) {
      return { answer: "refused", reason: describeError(error) };
    }
  }

  /** A generation of a former plan goes on until the first one of the present plan is raised. */
  #look(look: StateLook): LiveAnswer {
    return { subtasks: [...this.#running.values()].flatMap(({ generation }) => generation.look(look)) };
  }

  #endOlderThan(generations: readonly number[], planSince: number): void {
    if (generations.length > 0) void this.#inOrder(() => this.#endBelow(planSince));
    for (const [region, generation] of generations.entries())
      if (generation > this.#highestOf(region) && this.#running.has(region))
        void this.#inOrder(() => this.#endUpTo(region, generation - 1));
  }

  #highestOf(region: number): number {
    return this.#highest[region] ?? 0;
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#deploying.then(work);
    this.#deploying = result.catch(this.#messageFailed);
    return result;
  }

  /** Ends what ran before the job was rescaled: a region of that plan may have no successor (P95). */
  async #endBelow(planSince: number): Promise<void> {
    const over = [...this.#running].filter(([, { generation }]) => generation.id < planSince);
    await Promise.all(over.map(([region]) => this.#tearDown(region)));
  }

  async #endUpTo(region: number, generation: number): Promise<void> {
    this.#highest[region] = Math.max(this.#highestOf(region), generation);
    const running = this.#running.get(region);
    if (running !== undefined && running.generation.id <= generation) await this.#tearDown(region);
  }

  async #deploy(deployment: Deployment): Promise<ShortAnswer> {
    const { job, region, settle } = deployment;
    const highest = this.#highestOf(region);
    const reason = `it has seen generation ${highest} of region ${region}`;
    const stale: ShortAnswer = { answer: "stale", reason, seen: highest };
    if (deployment.generation < highest) return stale;
    if (deployment.generation === highest)
      return this.#running.get(region)?.generation.id === highest ? { answer: "duplicate" } : stale;
    await this.#endBelow(deployment.planSince);
    await this.#tearDown(region);
    const { logger, link, subjects, id, onDeploying } = this.#options;
    onDeploying?.(deployment.leader);
    logger.info({ job, region, generation: deployment.generation, settle }, "deploying");
    try {
      const { graphOf } = this.#options;
      const { parallelism, maxParallelism, restore } = deployment;
      const graph = graphOf({ operators: parallelism, maxParallelism });
      const from = restore === null ? graph : graphOf({ operators: restore.parallelism, maxParallelism });
      const manifest = await this.#readManifest(deployment);
      // It counts only from here on: a ping that names it and none of its subtasks says that they are gone (P5).
      this.#highest[region] = deployment.generation;
      const generation = new Generation({
        ...this.#options,
        worker: id,
        bus: link.bus,
        deployment,
        graph,
        restores: restoresOf(deployment, planOf(from), planOf(graph), manifest),
        send: (message, signal) => this.#tellLeader(deployment, message, signal),
        onStray: (subject, why) => link.met(subject, why),
      });
      const wire = link.serve(
        subjects.worker(job, generation.id, id),
        shapes.generationRequest,
        (message) => this.#receiveForGeneration(generation, message),
        this.#messageFailed,
        generationSecret(deployment),
      );
      this.#running.set(region, { generation, wire });
      generation.start();
      return { answer: "accepted" };
    } catch (error) {
      // The generation is not noted as seen: a leader that missed this answer asks again and gets the same one.
      return { answer: "refused", reason: describeError(error) };
    }
  }

  async #readManifest(deployment: Deployment): Promise<Manifest | undefined> {
    const { restore } = deployment;
    if (restore === null) return undefined;
    const { storage, troubles, clock } = this.#options;
    const watch = troubles.watch(`reading checkpoints from ${storage.description}`);
    return await retryPassing(() => readManifest(storage, restore.manifest), this.#life.signal, watch, clock);
  }

  #receiveForGeneration(generation: Generation, message: GenerationRequest): { readonly answer: string } {
    const present = this.#running.get(generation.deployment.region)?.generation;
    if (present !== generation || message.generation !== generation.id) return { answer: "stale" };
    generation.receive(message);
    return { answer: "accepted" };
  }

  async #tellLeader(
    deployment: Deployment,
    message: SubtaskMessage,
    signal: AbortSignal,
  ): Promise<ShortAnswer | undefined> {
    const { link, subjects, job, storage } = this.#options;
    const answer = await link
      .tell(subjects.coordinator(job, message.generation), message, shapes.shortAnswer, {
        signal,
        timeoutMs: 2000,
        secret: generationSecret(deployment),
        detour: { storage, at: deployment },
      })
      .catch(this.#messageFailed);
    return answer ?? undefined;
  }

  async #tearDown(region: number): Promise<void> {
    const running = this.#running.get(region);
    if (running === undefined) return;
    this.#running.delete(region);
    running.wire.close();
    const { generation } = running;
    const { clock, timings, onStuck } = this.#options;
    const timer = clock.after(timings.cancelTimeoutMs, () =>
      onStuck(new Error(`generation ${generation.id} did not end within ${timings.cancelTimeoutMs} ms`)),
    );
    await generation.close();
    timer.cancel();
  }
}
