/**
 * The whole engine in this process over a real nats-server, each component on a connection of its own, with short
 * times.
 *
 * Owns: which components there are, and a gate in front of the batches that a worker's sinks commit. Does not own: the
 * server, the jobs. For crashes of real processes see `cluster.ts`.
 */

import type { JobRecord } from "../../../machines/protocol.ts";
import {
  type Cluster,
  createClient,
  createCoordinator,
  createWorker,
  openCluster,
  type PreparedJob,
  prepareJob,
} from "../../../src/cli/assembly.ts";
import { submissionOf } from "../../../src/cli/submission/submission.ts";
import type { JobReport, RestoreRequest, SnapshotRequest } from "../../../src/control/messages.ts";
import type { Job } from "../../../src/index.ts";
import { NO_PROJECT } from "../../../src/job/code/project-code.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { SendCommands } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import { patientSignal, WAIT_BOUND_MS } from "../suite/patience.ts";
import { shortTimings } from "../suite/timings.ts";
import { GiveUpError, until } from "../until.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Lets so many parts of transactions through; the others do not leave the process, and are tried again. */
export class PartGate {
  allowed = Number.POSITIVE_INFINITY;
  refused = 0;

  /** The environment of a worker whose sinks commit through this gate. */
  guard({ connection, diverter, sendCommands }: NatsEnvironment): NatsEnvironment {
    const request = connection.request.bind(connection);
    connection.request = (subject, payload, options) => {
      // A batch of one only takes its marker over.
      const isPart =
        subject.startsWith("tidemark-marker.") && options?.headers?.get("Nats-Batch-Sequence") !== "1";
      if (isPart && this.allowed === 0) {
        this.refused++;
        return Promise.reject(new Error("the gate is closed"));
      }
      if (isPart) this.allowed--;
      return request(subject, payload, options);
    };
    // The last message of the batch is refused, so that the server does not wait for it.
    const send: SendCommands | undefined =
      sendCommands && ((commands) => (this.allowed === 0 ? undefined : sendCommands(commands)));
    return new NatsEnvironment(connection, diverter, send);
  }
}

interface Component {
  readonly cluster: Cluster;
  stop(): Promise<void>;
}

export class NatsWorld {
  readonly cluster: Cluster;
  readonly crashes: unknown[] = [];
  readonly #url: string;
  readonly #prefix: string;
  readonly #components = new Set<Component>();
  readonly #prepared = new Map<string, PreparedJob>();
  #requests = 0;

  private constructor(url: string, prefix: string, cluster: Cluster) {
    this.#url = url;
    this.#prefix = prefix;
    this.cluster = cluster;
  }

  static async open(url: string, prefix: string): Promise<NatsWorld> {
    return new NatsWorld(url, prefix, await open(url, prefix));
  }

  async startCoordinator(): Promise<Component> {
    const cluster = await open(this.#url, this.#prefix);
    const onCrash = (error: unknown) => this.crashes.push(error);
    const made = await createCoordinator(cluster, {
      logger: quiet,
      timings: shortTimings,
      onRefused: onCrash,
      onCrash,
    });
    made.start();
    return this.#add({ cluster, stop: () => made.stop() });
  }

  /** Starts a worker with a slot for each of the job's subtasks. */
  async startWorker(job: Job, gate?: PartGate): Promise<Component> {
    const opened = await open(this.#url, this.#prefix);
    const cluster = gate === undefined ? opened : { ...opened, nats: gate.guard(opened.nats) };
    const made = createWorker(cluster, this.#prepare(job), {
      slots: 2,
      logger: quiet,
      timings: shortTimings,
      onRefused: (error) => this.crashes.push(error),
      onStuck: (error) => this.crashes.push(error),
    });
    await made.start();
    return this.#add({ cluster, stop: () => made.stop() });
  }

  /** Cuts a process off as a crash does: its connection ends first. */
  async cutOff(component: Component): Promise<void> {
    this.#components.delete(component);
    await component.cluster.nats.connection.close();
    await component.stop();
  }

  async submit(job: Job, restore: RestoreRequest | null = null, fresh = false): Promise<void> {
    const { nats, troubles } = this.cluster;
    const environment = { job: job.name, logger: quiet, troubles, nats };
    const prepared = this.#prepare(job);
    const submission = await submissionOf(prepared, environment, this.cluster.storage.description);
    await createClient(this.cluster, WAIT_BOUND_MS).submit(submission, fresh, restore);
  }

  restore(
    job: Job,
    location: string,
    mode: RestoreRequest["mode"] = "no-claim",
    more?: "fresh" | "write-again",
  ): Promise<void> {
    const writeAgain = more === "write-again";
    return this.submit(job, { location, mode, drop: [], writeAgain }, more === "fresh");
  }

  client() {
    return createClient(this.cluster, WAIT_BOUND_MS);
  }

  /** Asks for a checkpoint, or for a savepoint into a directory. */
  snapshot(job: string, kind: SnapshotRequest["kind"], more: Partial<SnapshotRequest> = {}) {
    const request = `r${++this.#requests}`;
    const asked = { job, request, kind, directory: null, followedBy: "go-on", ...more } as SnapshotRequest;
    return this.client().snapshot(asked, patientSignal());
  }

  async record(job: string): Promise<JobRecord> {
    const found = await readRecord(await this.cluster.openRecords(), job);
    if (found === undefined) throw new Error(`there is no record of ${job}`);
    return found.record;
  }

  /** Names of the checkpoint objects of a job that are in the bucket now. */
  async objects(job: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { name } of this.cluster.storage.list(`${job}/`)) names.push(name);
    return names.sort();
  }

  comesTo(job: string, what: string, isThere: (report: JobReport) => boolean): Promise<JobReport> {
    const client = this.client();
    let last: JobReport | undefined;
    return until(
      `${job}: ${what}`,
      async () => {
        last = await client.status(job);
        if (last !== undefined && isThere(last)) return last;
        if (last?.status === "failed") throw new GiveUpError(`${job}: ${JSON.stringify(last)}`);
        return undefined;
      },
      { everyMs: 10, describe: () => `${JSON.stringify(last)} ${this.crashes}` },
    );
  }

  runs(job: string): Promise<JobReport> {
    return this.comesTo(job, "running", ({ phase }) => phase === "running.processing");
  }

  ends(job: string, status: string): Promise<JobReport> {
    return this.comesTo(job, status, (report) => report.status === status);
  }

  async close(): Promise<void> {
    for (const component of this.#components) {
      await component.stop();
      await component.cluster.nats.connection.close();
    }
    await this.cluster.nats.connection.close();
  }

  #prepare(job: Job): PreparedJob {
    const known = this.#prepared.get(job.name) ?? prepareJob({ job, code: NO_PROJECT }, {});
    this.#prepared.set(job.name, known);
    return known;
  }

  #add(component: Component): Component {
    this.#components.add(component);
    return component;
  }
}

async function open(url: string, prefix: string): Promise<Cluster> {
  return openCluster(await connectNats({ servers: url, name: "test" }), { prefix });
}
