/**
 * One `tidemark run`: provides what the job needs, submits it, watches it to its end, and takes everything down again.
 *
 * Owns: the order of starting and ending (workers, coordinator, connection, nats-server last, P30). Does not own: what
 * is shown (commands/run.ts, the examples).
 */

import { dirname, join, resolve } from "node:path";
import { isTerminal } from "../../../machines/record.ts";
import { systemClock } from "../../clock.ts";
import { type ControlClient, Wish } from "../../control/client.ts";
import { ForeignMessages } from "../../control/foreign-messages.ts";
import type { JobReport, WorkerIdentity } from "../../control/messages.ts";
import type { Logger } from "../../dataflow/connector.ts";
import type { Trouble } from "../../dataflow/trouble.ts";
import {
  ConfigurationError,
  EnvironmentError,
  MessageTooLargeError,
  RequestRefusedError,
} from "../../errors.ts";
import type { NatsServer } from "../../nats/server/server.ts";
import { type FeedEvent, readFeedEvent } from "../../observe/feed.ts";
import { pause } from "../../timer.ts";
import { type Cluster, createClient, newId, type PreparedJob, prepareSubmission } from "../assembly.ts";
import {
  type ClusterFlags,
  type ConfigFlags,
  configArguments,
  connectCluster,
  connectionEnvironment,
  overridesOf,
  storageEnvironment,
  withToken,
} from "../options.ts";
import { EndingPatience, unendedText } from "../process/ending.ts";
import { startEnvironment } from "../process/process-state.ts";
import { describeGaps, type GapFlags } from "../submission/gaps.ts";
import { loadJobFile } from "../submission/job-file.ts";
import { sayingWhatStays } from "../submission/made-before.ts";
import {
  lookAtRestore,
  type RestoreLook,
  type RestoringFlags,
  restoreRequestOf,
} from "../submission/restoring.ts";
import { Children } from "./children.ts";
import { EventFile } from "./event-file.ts";
import { goneServer, provideServer, submissionWhenMet } from "./provided-server.ts";

export interface RunFlags extends ClusterFlags, ConfigFlags, GapFlags, RestoringFlags {
  readonly fresh?: boolean;
  readonly events?: string;
  readonly workers?: number;
  /** Port of the provided server. */
  readonly port?: number;
}

export interface RunSessionOptions {
  readonly jobPath: string;
  readonly flags: RunFlags;
  /** Directory for logs and the provided server's store. Default: `.tidemark` beside the job file. */
  readonly home?: string;
  readonly logger: Logger;
  /** The job file is loaded, and nothing is started yet. */
  readonly onLoaded?: () => void;
  /** Slow steps, for people. */
  readonly say: (line: string) => void;
  /** What the job needs and the provided server does not have: said before the wait for it, and when that changes. */
  readonly onMissing?: (missing: string) => void;
  /** Called after the server is there and before the job is submitted: time to fill streams. */
  readonly beforeSubmit?: (cluster: Cluster) => Promise<void>;
  readonly onEvent?: (event: FeedEvent) => void;
}

type ChildEnvironment = Readonly<Record<string, string | undefined>>;

/** What is there before the job is submitted. */
interface ProvidedRun {
  readonly prepared: PreparedJob;
  readonly cluster: Cluster;
  /** undefined: the server is the user's. */
  readonly server: NatsServer | undefined;
  readonly events: EventFile | undefined;
}

const POLL_MS = 200;
/** A child that is silent for much longer than its leader waits for it will not come back by itself. */
const SILENT_HEARTBEATS = 3;
const SILENCE_MS_MIN = 10_000;
/** A child that has not ended by then is killed. */
const STOP_MS = 10_000;
/** The same when the job has not ended in time either. */
const HURRIED_STOP_MS = 3000;
const FINAL_MESSAGES_MS = 2000;
/** A suspension is asked for again so often until it is recorded. */
const ASK_AGAIN_MS = 2000;
const LAST_ANSWERS_MS = 15_000;

export class RunSession {
  readonly prepared: PreparedJob;
  readonly cluster: Cluster;
  /** What was decided about input that may go unread, a line for each source. */
  readonly gaps: readonly string[];
  /** The state that was named for the job, if any; a text: it cannot be read here, and why. */
  readonly restored: RestoreLook | string | undefined;
  readonly #server: NatsServer | undefined;
  readonly #children: Children;
  readonly #client: ControlClient;
  readonly #suspension = new Wish();
  /** Random: its coordinator answers to it, and leads no other job than this one (P50). */
  readonly #id = newId();
  readonly #events: EventFile | undefined;
  /** Never resolves; rejects when server or children are gone for good. */
  readonly #broken: Promise<never>;
  readonly #listeners: ((report: JobReport) => void)[] = [];
  readonly #troubles = new Map<string, readonly Trouble[]>();
  #troubleListener: ((source: string, troubles: readonly Trouble[]) => void) | undefined;
  #latest: JobReport | undefined;
  #patience: EndingPatience | undefined;
  #completedBefore: number | undefined;
  #hurry = false;
  #unended: (error: Error) => void = () => {};
  #serverGone = false;
  #closed = false;

  static async start(options: RunSessionOptions): Promise<RunSession> {
    const { flags, logger } = options;
    if (flags.server !== undefined && flags.port !== undefined)
      throw new ConfigurationError(
        "port",
        `--port is that of the nats-server which run provides, and this run uses the one at ${flags.server}; leave --port out`,
      );
    restoreRequestOf(flags);
    const prepared = prepareSubmission(await loadJobFile(options.jobPath), overridesOf(flags));
    options.onLoaded?.();
    for (const warning of prepared.warnings) logger.warn({}, warning);
    const events = flags.events === undefined ? undefined : new EventFile(flags.events, logger);
    const home = resolve(options.home ?? join(dirname(resolve(options.jobPath)), ".tidemark"));
    const server =
      flags.server === undefined ? await provideServer(home, flags.port, options.say) : undefined;
    try {
      const url = server?.url ?? flags.server ?? "";
      const connection = server === undefined ? flags : withToken(flags, server.token);
      const { storage } = prepared.config.checkpointing;
      const cluster = await connectCluster(connection, url, "run", logger, { storage });
      const environment = connectionEnvironment(connection, url);
      return await RunSession.#begin(options, { prepared, home, environment, server, cluster, events });
    } catch (error) {
      await server?.stop();
      throw error;
    }
  }

  static async #begin(
    options: RunSessionOptions,
    provided: ProvidedRun & { readonly home: string; readonly environment: ChildEnvironment },
  ): Promise<RunSession> {
    const { flags } = options;
    const { prepared, home, environment, server, cluster } = provided;
    // What the coordinator could not open either is said here, once.
    await cluster.openRecords();
    await options.beforeSubmit?.(cluster);
    const submission = await submissionWhenMet(options, prepared, cluster, server);
    let giveUp: (error: Error) => void = () => {};
    const failure = new Promise<never>((_, reject) => {
      giveUp = reject;
    });
    failure.catch(() => undefined);
    const children = new Children({
      // Runs of different jobs may share a directory.
      logDir: join(home, "logs", prepared.job.name),
      // One health port cannot serve them all.
      environment: {
        ...startEnvironment,
        TIDEMARK_HEALTH_PORT: undefined,
        ...environment,
        ...storageEnvironment(prepared.config.checkpointing.storage),
      },
      onGivenUp: (error) => giveUp(error),
      troubles: cluster.troubles,
      onTroubles: (name, troubles) => session.#tellTroubles(name, troubles),
      onWorkerEnded: (worker, reason) => session.#tellEnded(worker, reason),
      silenceMsMax: Math.max(SILENCE_MS_MIN, SILENT_HEARTBEATS * prepared.config.heartbeat.timeoutMs),
    });
    const restore = restoreRequestOf(flags);
    const { openRecords: findRecords, openStorage, storage } = cluster;
    const access = { findRecords, openStorage, findStorage: async () => storage };
    const restored = restore === null ? undefined : await lookAtRestore(access, restore, submission);
    const known = { gaps: describeGaps(submission.splits), restored };
    const session: RunSession = new RunSession(options, provided, known, children, failure);
    try {
      // The server must know our subscription before the first event.
      await cluster.bus.flush();
      children.start({
        name: "coordinator",
        args: ["coordinator", "--job", prepared.job.name, "--session", session.#id],
      });
      const fresh = flags.fresh === true;
      const submitted = () =>
        restore !== null && flags.dryRun === true
          ? session.#client.rehearse(submission, fresh, restore)
          : session.#client.submit(submission, fresh, restore);
      await Promise.race([sayingWhatStays(submission, submitted), session.#broken]);
      if (flags.dryRun !== true) session.#startWorkers(options);
    } catch (error) {
      await session.#takeDown();
      throw error;
    }
    return session;
  }

  private constructor(
    options: RunSessionOptions,
    { prepared, cluster, server, events }: ProvidedRun,
    known: Pick<RunSession, "gaps" | "restored">,
    children: Children,
    failure: Promise<never>,
  ) {
    this.prepared = prepared;
    this.gaps = known.gaps;
    this.restored = known.restored;
    this.cluster = cluster;
    this.#server = server;
    this.#children = children;
    this.#client = createClient(cluster, 30_000, this.#id);
    this.#events = events;
    this.#listen(options);
    const { troubles } = cluster;
    troubles.onChange(() => this.#tellTroubles("run", troubles.list()));
    const serverGone =
      server &&
      goneServer(server).catch((error: unknown) => {
        if (this.#closed) return new Promise<never>(() => {});
        this.#serverGone = true;
        throw error;
      });
    this.#broken = Promise.race([failure, ...(serverGone === undefined ? [] : [serverGone])]);
    this.#broken.catch(() => undefined);
  }

  /** Resolves when the job has reached a terminal status; rejects when it cannot go on. Called once. */
  ended(): Promise<JobReport> {
    const unended = new Promise<never>((_, reject) => {
      this.#unended = reject;
    });
    return Promise.race([this.#watch(), this.#broken, unended]);
  }

  /** Calls `listener` at every look at the job, a few times a second. */
  onReport(listener: (report: JobReport) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Calls `listener` at every change of what this process, its children or the job's leader try in vain, and at once.
   */
  onTroubles(listener: (source: string, troubles: readonly Trouble[]) => void): void {
    this.#troubleListener = listener;
    for (const [source, troubles] of this.#troubles) listener(source, troubles);
  }

  get latest(): JobReport | undefined {
    return this.#latest;
  }

  /** Process ids of children whose name begins so: "worker", "coordinator". */
  processIds(prefix: string): number[] {
    return this.#children
      .names()
      .filter((name) => name.startsWith(prefix))
      .flatMap((name) => this.#children.processId(name) ?? []);
  }

  /** One more checkpoint, then everything stops; `run` again goes on from there (P30). */
  async suspend(): Promise<void> {
    this.#completedBefore = this.#latest?.checkpoints.completed ?? 0;
    this.#endInTime();
    await this.#client.suspend(this.prepared.job.name, this.#suspension);
    void this.#untilRecorded();
  }

  /** The wish is in the leader's memory only, until the record says `settling`: a new one is asked anew (P58). */
  async #untilRecorded(): Promise<void> {
    for (;;) {
      await pause(ASK_AGAIN_MS);
      const status = this.#latest?.status;
      if (this.#closed || (status !== "created" && status !== "running")) return;
      try {
        await this.#client.suspend(this.prepared.job.name, this.#suspension);
      } catch (error) {
        // It ends in another way, and the first answer was an acceptance.
        if (error instanceof RequestRefusedError) return;
      }
    }
  }

  /** It was suspended, and no checkpoint has completed since that was asked for. */
  withoutCheckpoint({ status, checkpoints }: JobReport): boolean {
    return status === "suspended" && checkpoints.completed === this.#completedBefore;
  }

  /** Makes `ended` reject from now on when the job does not end within a bound. */
  #endInTime(): void {
    const patience = new EndingPatience(performance.now());
    this.#patience = patience;
    const timer = setInterval(() => {
      const spentMs = patience.spentMs(performance.now());
      if (spentMs === undefined) return;
      clearInterval(timer);
      this.#hurry = true;
      const troubles = [...this.#troubles.values()].flat();
      this.#unended(
        new EnvironmentError(unendedText(this.prepared.job.name, this.#latest, troubles, spentMs)),
      );
    }, POLL_MS);
    timer.unref();
  }

  /** Ends all processes at once, which is as safe as a crash. */
  kill(): void {
    this.#closed = true;
    this.#children.kill();
    this.#server?.kill();
  }

  async close(): Promise<void> {
    await this.#takeDown();
  }

  #tellTroubles(source: string, troubles: readonly Trouble[]): void {
    // Children that are taken down have nothing more to try.
    if (this.#closed) return;
    this.#troubles.set(source, troubles);
    this.#troubleListener?.(source, troubles);
  }

  /** The leader finds out that it is gone, not why. */
  #tellEnded(worker: WorkerIdentity, reason: string): void {
    this.#client.workerEnded(this.prepared.job.name, worker, reason).catch(() => undefined);
  }

  #startWorkers(options: RunSessionOptions): void {
    const { parallelism, checks } = this.prepared.config;
    const most = Math.max(parallelism, ...this.prepared.graph.vertices.map((vertex) => vertex.parallelism));
    const workers = options.flags.workers ?? most;
    for (let i = 1; i <= workers; i++)
      this.#children.start({
        name: `worker-${i}`,
        args: [
          "worker",
          resolve(options.jobPath),
          "--slots",
          String(Math.ceil(most / workers)),
          ...configArguments(options.flags),
          ...(checks === undefined ? ["--config", "checks=true"] : []),
        ],
      });
  }

  #listen({ onEvent, logger }: Pick<RunSessionOptions, "onEvent" | "logger">): void {
    if (this.#events === undefined && onEvent === undefined) return;
    const subject = this.cluster.subjects.events(this.prepared.job.name);
    const decoder = new TextDecoder();
    const foreign = new ForeignMessages(systemClock, logger);
    this.cluster.bus.subscribe(subject, (body) => {
      const line = decoder.decode(body);
      const event = readFeedEvent(line);
      if (event === undefined) return foreign.met(subject, "an event of another kind was published there");
      this.#events?.append(line);
      onEvent?.(event);
    });
  }

  async #watch(): Promise<JobReport> {
    let endedMs: number | undefined;
    const asking = this.cluster.troubles.watch("asking how the job is doing");
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      let report: JobReport | undefined;
      try {
        report = await this.#client.status(this.prepared.job.name);
        asking.passed();
      } catch (error) {
        // The job goes on all the same.
        if (!(error instanceof MessageTooLargeError)) throw error;
        asking.failed(error);
        continue;
      }
      if (report === undefined) throw await this.#recordGone();
      this.#latest = report;
      this.#patience?.heard(report, performance.now());
      for (const listener of this.#listeners) listener(report);
      this.#tellTroubles("leader", report.troubles);
      if (!isTerminal(report.status) || report.phase !== report.status) continue;
      endedMs ??= performance.now();
      // A client that has ended the job from elsewhere still asks for its savepoint; our server and leader answer that.
      if (report.unansweredRequests === 0 || performance.now() - endedMs > LAST_ANSWERS_MS) return report;
    }
  }

  /** It was there when the submission was answered, and no command of ours takes it away. */
  async #recordGone(): Promise<EnvironmentError> {
    const { job } = this.prepared;
    const { bucket } = await this.cluster.openRecords();
    this.#hurry = true;
    return new EnvironmentError(
      `the record of job ${job.name} is gone from KV bucket ${bucket}: the bucket was deleted, emptied or made anew. ` +
        `To go on, restore stream KV_${bucket} from a backup (nats stream restore DIR) and run the job again; without ` +
        "the record the next run goes on with --fresh only, which starts over and writes the output once more",
    );
  }

  async #takeDown(): Promise<void> {
    this.#closed = true;
    // Nothing can end in good order without it.
    if (this.#serverGone) this.#children.kill();
    const boundMs = this.#hurry ? HURRIED_STOP_MS : STOP_MS;
    await this.#children.stop("worker", boundMs);
    await this.#children.stop("coordinator", boundMs);
    // What the children said last is on its way to us; a server that is gone says nothing more.
    await Promise.race([
      this.cluster.bus.flush().catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, FINAL_MESSAGES_MS).unref()),
    ]);
    await this.cluster.nats.connection.close();
    this.#events?.close();
    await this.#server?.stop();
  }
}
