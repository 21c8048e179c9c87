/**
 * A cluster of real processes: coordinators and workers as the command line starts them, on a server of the test.
 *
 * Owns: which processes there are and how a test looks at the job from outside. Does not own: the server, the job.
 */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { JobRecord } from "../../../machines/protocol.ts";
import { newId } from "../../../src/cli/assembly.ts";
import { systemClock } from "../../../src/clock.ts";
import { ControlClient } from "../../../src/control/client.ts";
import { ControlLink } from "../../../src/control/link.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { createSubjects } from "../../../src/dataflow/channel/subjects.ts";
import { NatsBus } from "../../../src/nats/connection/bus.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { openNatsRecordStore } from "../../../src/nats/storage/record-store.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import type { RecordStore } from "../../../src/runtime/record-store.ts";
import { patientSignal, WAIT_BOUND_MS } from "../suite/patience.ts";
import { GiveUpError, until } from "../until.ts";
import { bundled } from "./compiled.ts";
import { Processes, type TestProcess } from "./processes.ts";

export interface ClusterOptions {
  readonly url: string;
  /** Logs of all processes. */
  readonly directory: string;
  readonly job: string;
  /** A compiled job file. */
  readonly jobFile: string;
  readonly prefix?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly slots?: number;
  readonly logLevel?: string;
}

export type Role = "coordinator" | "worker";

export class TestCluster {
  readonly processes: Processes;
  readonly nats: NatsEnvironment;
  readonly #options: ClusterOptions;
  readonly #records: RecordStore;
  readonly client: ControlClient;

  private constructor(
    options: ClusterOptions,
    nats: NatsEnvironment,
    records: RecordStore,
    client: ControlClient,
  ) {
    this.#options = options;
    this.nats = nats;
    this.#records = records;
    this.client = client;
    this.processes = new Processes(options.directory);
  }

  static async open(options: ClusterOptions): Promise<TestCluster> {
    const { prefix = "tidemark" } = options;
    const nats = await connectNats({ servers: options.url, name: "test" });
    const records = await openNatsRecordStore(nats, { bucket: `${prefix.replaceAll(".", "-")}-jobs` });
    const client = new ControlClient({
      link: new ControlLink({ bus: new NatsBus(nats), id: `test-${process.pid}`, clock: systemClock }),
      subjects: createSubjects(prefix),
      newId,
      leaderTimeoutMs: WAIT_BOUND_MS,
    });
    return new TestCluster(options, nats, records, client);
  }

  /** The compiled command line, as a user starts it. */
  start(role: Role, name: string): TestProcess {
    const { jobFile, slots = 1, environment, logLevel = "info" } = this.#options;
    const more = role === "worker" ? [jobFile, "--slots", String(slots)] : [];
    return this.processes.start({
      name,
      script: bundled("src/cli/main.ts"),
      args: [role, ...more, ...this.#connection, "--log-level", logLevel],
      ...(environment === undefined ? {} : { environment }),
    });
  }

  async submit(...flags: string[]): Promise<void> {
    const { jobFile, environment } = this.#options;
    const args = [bundled("src/cli/main.ts"), "submit", jobFile, ...this.#connection, ...flags];
    await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...environment } });
  }

  /** The durable record; undefined when there is none yet. */
  async record(): Promise<JobRecord | undefined> {
    return (await readRecord(this.#records, this.#options.job))?.record;
  }

  /** The report as the leader tells it. */
  report(): Promise<JobReport | undefined> {
    return this.client.status(this.#options.job);
  }

  /** Ends the job as its user does who wants all of its output. @param directory of the last savepoint */
  async drain(request: string, directory: string): Promise<void> {
    const asked = { job: this.#options.job, request, kind: "savepoint", directory } as const;
    await this.client.snapshot({ ...asked, followedBy: "drain" }, patientSignal());
  }

  /** Waits until the record is as wanted. A job that has failed for good ends the waiting. */
  awaitRecord(what: string, isWanted: (record: JobRecord) => boolean): Promise<JobRecord> {
    let last: JobRecord | undefined;
    return until(
      what,
      async () => {
        last = await this.record();
        if (last === undefined) return undefined;
        if (isWanted(last)) return last;
        if (last.status === "failed") throw new GiveUpError(`${what}: the job has failed: ${describe(last)}`);
        return undefined;
      },
      { describe: () => (last === undefined ? "no record" : describe(last)) },
    );
  }

  async close(): Promise<void> {
    await this.processes.killAll();
    await this.nats.connection.close();
  }

  get #connection(): string[] {
    const { url, prefix } = this.#options;
    return ["--server", url, ...(prefix === undefined ? [] : ["--prefix", prefix])];
  }
}

function describe(record: JobRecord): string {
  const checkpoint = record.checkpoints.at(-1)?.checkpointId ?? "none";
  const failures = record.failures.map((failure) => `${failure.where}: ${failure.reason}`).join(" | ");
  return `${record.status}, generation ${record.generation}, checkpoint ${checkpoint}, failures: ${failures}`;
}
